"""Other tools' numbers, from the same graph: one small file per tool.

A convention is a way of counting that people quote: which ops a tool sees, and what it says they cost.
Where a tool is wrong, its convention is wrong in the same way and a note says what it misses.
"""

from estimator.costs.conventions.count import Count, LayerCount
from estimator.costs.conventions.explain import Explanation, explain, explain_counts
from estimator.costs.conventions.registry import convention_names, convention_of, count
from estimator.costs.conventions.training_count import count_training

__all__ = [
    "Count",
    "Explanation",
    "LayerCount",
    "convention_names",
    "convention_of",
    "count",
    "count_training",
    "explain",
    "explain_counts",
]
