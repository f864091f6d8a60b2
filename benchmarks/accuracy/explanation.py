"""Why a prediction is far off: what is known of the architecture, then what the records themselves say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median

from benchmarks.accuracy.fit import HeldOutRow
from estimator.frontends.zoo_family import family_of

KNOWN: Sequence[tuple[str, str]] = (
    (r"efficientformerv2", "attention biases are gathered by index per call unless cached; pooled attention on small "
                           "maps is dozens of tiny kernels"),
    (r"levit|tiny_vit", "attention biases are gathered and added per block; the maps are too small to fill a device"),
    (r"hiera", "attention over five axes has no fused kernel: PyTorch 2.4 spells it out in half precision, 2.9 in "
               "fp32, and both are estimated as 2.9"),
    (r"halo|bat_|lambda|botnet|sehalo", "local attention unfolds or re-windows its maps: copies whose strides "
                                              "the table does not tell"),
    (r"volo", "outlook attention is unfold, a batched product and fold: col2im runs far below bandwidth"),
    (r"xcit", "cross-covariance attention multiplies d×d matrices over long sequences, batch after batch"),
    (r"swin|maxvit|coat|davit|gcvit|cswin", "windows are partitioned by permuted copies; where a compiler merges them "
                                             "is its own choice"),
    (r"mvitv2|pvt|twins|cait|edgenext|convit", "pooled or talking-heads attention: no fused kernel, the matrix is "
                                               "written and read in full"),
    (r"resnest|sknet|skresn|selecsls|res2net|res2next", "split and re-joined branches: many small kernels between "
                                                         "which nothing overlaps in the model"),
    (r"gernet|regnet|resnext|seresnext|ecaresnext|nf_regnet|cspresnext", "grouped convolutions: the library picks "
     "direct, implicit-product or grouped kernels by rules that the width alone does not give"),
    (r"mixnet|tinynet|mobilenet|efficientnet|lcnet|ghostnet|hardcorenas|fbnet|mnasnet|spnasnet|semnasnet",
     "depthwise and narrow layers: time is launches and occupancy, not arithmetic"),
    (r"mixer|gmlp|resmlp|s2mlp", "products over the token axis run on transposed copies"),
    (r"vgg|alexnet", "three huge dense layers: weights from memory once per batch"),
    (r"inception|nasnet|pnasnet|xception|dpn|densenet|dla|hrnet", "concatenations and separable cells: traffic that a "
     "runtime may or may not write in place"),
)  # fmt: skip
"""Pattern of the model's name, and what about it a table of kernels does not hold."""


def explain(row: HeldOutRow, rows: Sequence[HeldOutRow]) -> str:
    """Say in a sentence whether it is the network, the record, or the extrapolation."""
    return "; ".join(part for part in (_known(row), _by_records(row, rows)) if part)


def _known(row: HeldOutRow) -> str:
    name = row.model.rpartition(":")[2]
    return next((why for pattern, why in KNOWN if re.search(pattern, name)), "")


def _by_records(row: HeldOutRow, rows: Sequence[HeldOutRow]) -> str:
    """Compare with other records: an error that all of a model share is the model's, a lone one the record's."""
    own = _error(row)
    others = [_error(other) for other in rows if other.model == row.model and other is not row]
    others = [error for error in others if error is not None]
    family = family_of(row.model)
    kin = [
        error
        for other in rows
        if other.model != row.model
        and family_of(other.model) == family
        and (other.device, other.runtime, other.layout) == (row.device, row.runtime, row.layout)
        and (error := _error(other)) is not None
    ]
    parts = []
    if others and own is not None:
        typical = median(others)
        if typical * own > 0 and abs(typical) > abs(own) / 3:
            parts.append(f"its {len(others)} other records are off alike ({100 * typical:+.0f} %): the network's own")
        else:
            parts.append(f"its {len(others)} other records are not ({100 * typical:+.0f} %): this record's own")
    if len(kin) >= 3:
        parts.append(f"{len(kin)} records of {family} there: {100 * median(kin):+.0f} %")
    elif not others:
        parts.append(f"{family} has hardly any other record: extrapolated")
    return "; ".join(parts)


def _error(row: HeldOutRow) -> float | None:
    predicted = row.predicted_ms["model"]
    return None if predicted is None else predicted / row.measured_ms - 1


def worst(rows: Sequence[HeldOutRow], count: int) -> list[tuple[HeldOutRow, float]]:
    """Find the records with the largest error when their model was left out, one per model and kind of unit."""
    chosen: dict[tuple[str, ...], tuple[HeldOutRow, float]] = {}
    for row in rows:
        error = _error(row)
        if error is None:
            continue
        key = (row.model, row.unit)
        if key not in chosen or _size(error) > _size(chosen[key][1]):
            chosen[key] = (row, error)
    return sorted(chosen.values(), key=lambda pair: -_size(pair[1]))[:count]


def _size(error: float) -> float:
    """Twice too slow is as wrong as twice too fast."""
    return max(1 + error, 1 / (1 + error))
