"""What an op costs: MACs, other FLOPs, compulsory bytes, parameters. Knows no device and no fusion.

`registry` looks a rule up; the handler modules below each declare one family of `OpKind`.
`conventions` re-counts the same graph as other tools do; `training` adds the backward pass.
"""

from estimator.costs import (  # noqa: F401  (importing a family registers its rules)
    attention,
    convolution,
    detection,
    elementwise,
    embedding,
    matmul,
    movement,
    normalisation,
    recurrent,
    reduction,
    spectral,
    window,
)
