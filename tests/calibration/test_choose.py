import numpy as np

from estimator.calibration.choose import most_telling


def test_the_one_that_others_move_with_is_measured_first():
    covariance = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.8], [0.0, 0.8, 1.0]])
    # measuring 1 takes 1² ÷ (1 + 0.25) off itself and 0.8² ÷ 1.25 off its neighbour; measuring 0 takes 0.8 off itself
    assert most_telling(covariance, np.array([0, 1]), 1, noise=0.5).tolist() == [1]


def test_what_is_known_already_is_not_measured_again():
    covariance = np.array([[1.0, 0.0, 0.0], [0.0, 4.0, 4.0], [0.0, 4.0, 4.0]])
    # after 1, its twin 2 has 4 − 4² ÷ 4.25 = 0.24 left, 0 still all of its 1
    assert most_telling(covariance, np.arange(3), 2, noise=0.5).tolist() == [1, 0]


def test_no_more_are_chosen_than_can_be_measured():
    assert sorted(most_telling(np.eye(3), np.array([2, 0]), 10, noise=0.1).tolist()) == [0, 2]
