"""Every error class has a code; its fields travel; the client makes the same error again."""

import grpc
import pytest
from google.rpc import error_details_pb2

from estimator import errors
from estimator.errors import EstimatorError
from estimator.service.status import CODE_OF, MAX_TEXT, code_of, status_of
from tests.service.networks import mlp

SAMPLES = {
    errors.UnknownDeviceError: errors.UnknownDeviceError("rtx409", ("rtx4090", "rtx3090")),
    errors.UnknownPrecisionError: errors.UnknownPrecisionError("fp15", ("fp16", "fp32")),
    errors.UnknownRuntimeError: errors.UnknownRuntimeError("torch", ("torch-eager",)),
    errors.UnknownConventionError: errors.UnknownConventionError("thopp", ("thop",)),
    errors.UnknownModelError: errors.UnknownModelError("resnet51", ()),
    errors.RequestLimitError: errors.RequestLimitError("graphs", 30, 20),
    errors.UnsupportedOpError: errors.UnsupportedOpError(("Strange", "Stranger")),
    errors.MissingDependencyError: errors.MissingDependencyError("tflite", "a TFLite file", "tflite"),
}
"""Classes with a constructor of their own."""


def every_class(cls=EstimatorError):
    return {cls}.union(*(every_class(child) for child in cls.__subclasses__()))


CLASSES = sorted((c for c in every_class() if not c.__name__.startswith("_")), key=lambda c: c.__name__)


def sample(cls):
    return SAMPLES.get(cls) or cls("what failed", where="where", expected="what was expected", hint="what to do next")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_class_is_in_the_table(cls):
    assert cls in CODE_OF


@pytest.mark.parametrize("cls", CLASSES)
def test_every_reason_is_an_upper_case_name_and_belongs_to_one_class(cls):
    assert cls.reason().replace("_", "").isupper()
    assert [c for c in CLASSES if c.reason() == cls.reason()] == [cls]


def test_a_subclass_outside_the_table_takes_its_parents_code():
    class MoldyGraphError(errors.GraphError):
        pass

    assert code_of(MoldyGraphError("mold")) is grpc.StatusCode.INVALID_ARGUMENT


def test_a_status_carries_text_for_people_and_fields_for_machines():
    status = status_of(errors.GraphError("no such tensor", where="op 'a'", expected="a tensor"))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "no such tensor\n  where         op 'a'\n  expected      a tensor"
    assert (info.reason, info.domain) == ("GRAPH", "estimator.v1")
    assert dict(info.metadata) == {"what": "no such tensor", "where": "op 'a'", "expected": "a tensor"}


def test_a_status_stays_small_however_long_the_names_are():
    status = status_of(errors.UnknownDeviceError("d" * 100_000, tuple(f"device-{i}" for i in range(10_000))))
    assert status.ByteSize() < 5 * MAX_TEXT


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_arrives_at_the_client_as_what_it_was(serving, remote, cls):
    error = sample(cls)

    def fail(*_arguments):
        raise error

    with serving(fail) as up, remote(up) as estimator, pytest.raises(EstimatorError) as caught:
        estimator.estimate(mlp())
    assert type(caught.value) is cls
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)


def test_an_unforeseen_failure_is_internal_and_says_nothing_of_the_inside(serving, remote, caplog):
    def fail(*_arguments):
        raise ZeroDivisionError("secret path /home/me")

    with serving(fail) as up, remote(up) as estimator, pytest.raises(errors.ServiceError) as caught:
        estimator.estimate(mlp())
    assert "secret" not in str(caught.value)
    assert "INTERNAL" in str(caught.value)
    reference = str(caught.value).partition("log has it as ")[2].split()[0]
    assert reference in caplog.text
    assert "secret path /home/me" in caplog.text
