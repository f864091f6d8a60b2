"""Per-block latency tables in the layouts of once-for-all and ProxylessNAS.

A search loop adds up rows instead of estimating networks. Rows hold the time of a block's kernels alone; what an
inference costs besides (dispatch of the whole network) stands once, under the key ``Fixed``.
Key layouts: once-for-all, ``ofa/nas/efficiency_predictor/latency_lookup_table.py``; ProxylessNAS,
``latency_estimator.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.planning.block import Block, Classifier, ConvBlock, Extent, MobileBlock, Pool, rounded_channels
from estimator.planning.space import Space, Stage
from estimator.result import Estimate
from estimator.units import ms_from_s

FIXED_KEY: Final = "Fixed"


@dataclass(frozen=True, slots=True)
class TableRow:
    """One block's time.

    Attributes
    ----------
    mean_s : float
        Median estimate of the block's kernels.
    spread_s : float
        Standard deviation that p10 and p90 imply.
    count : int
        Places in the space that this block can stand in.
    """

    key: str
    mean_s: float
    spread_s: float
    count: int


@dataclass(frozen=True, slots=True)
class LatencyTable:
    """All rows, in the order in which the blocks can first occur.

    Attributes
    ----------
    fixed_s : float
        Cost of an inference beyond its kernels, once per network.
    """

    rows: tuple[TableRow, ...]
    fixed_s: float


def blocks(space: Space) -> Iterator[tuple[str, Block]]:
    """Every distinct place and choice, with its key; a block that can stand in several places comes several times."""
    once_for_all = space.layout == "once-for-all"
    for resolution in space.resolutions:
        image = Extent(resolution, resolution, space.image_channels)
        here = image.after(space.stem.channels, space.stem.stride)
        yield (
            _key("Conv", image, here),
            ConvBlock(image, here, space.stem.kernel, space.stem.stride, space.stem.activation),
        )
        sources = {here}
        for stage in space.stages:
            for source, block in _stage_blocks(sources, stage):
                yield _mobile_key(source, block, once_for_all), block
            sources = {s.after(c, stage.stride) for s in sources for c in stage.channels}
        yield from _head(space, sorted(sources, key=str))


def _stage_blocks(sources: set[Extent], stage: Stage) -> Iterator[tuple[Extent, MobileBlock]]:
    for first in sorted(sources, key=lambda e: e.channels):
        for channels in stage.channels:
            target = first.after(channels, stage.stride)
            for position in range(stage.depth):
                source, stride = (first, stage.stride) if position == 0 else (target, 1)
                for kernel in stage.kernel:
                    for expand in stage.expand:
                        yield source, _mobile_block(source, target, kernel, stride, expand, stage)


def _mobile_block(source: Extent, target: Extent, kernel: int, stride: int, expand: int, stage: Stage) -> MobileBlock:
    middle = source.channels if expand == 1 else rounded_channels(source.channels * expand)
    skip = stride == 1 and source == target
    return MobileBlock(source, target, middle, kernel, stride, stage.activation, stage.squeeze_excite, skip)


def _head(space: Space, sources: list[Extent]) -> Iterator[tuple[str, Block]]:
    for source in sources:
        wide = Extent(source.height, source.width, space.final_expand.channels)
        yield _key("Conv_1", source, wide), ConvBlock(source, wide, 1, 1, space.final_expand.activation)
        if space.feature_mix is not None:
            pooled, mixed = Extent(1, 1, wide.channels), Extent(1, 1, space.feature_mix.channels)
            yield _key("AvgPool2D", wide, pooled), Pool(wide)
            yield _key("Conv_2", pooled, mixed), ConvBlock(pooled, mixed, 1, 1, space.feature_mix.activation, False)
            wide = mixed
        yield f"Logits-input:{wide}-output:{space.classes}", Classifier(wide, space.classes)


def _key(kind: str, source: Extent, target: Extent) -> str:
    return f"{kind}-input:{source}-output:{target}"


def _mobile_key(source: Extent, block: MobileBlock, once_for_all: bool) -> str:
    """once-for-all names the middle width and squeeze-excite and hard-swish flags; ProxylessNAS the expansion ratio."""
    base = _key("expanded_conv", source, block.target)
    if once_for_all:
        flags = f"se:{int(block.squeeze_excite)}-hs:{int(block.activation == 'hardswish')}"
        expand = block.mid_channels
        return f"{base}-expand:{expand}-kernel:{block.kernel}-stride:{block.stride}-idskip:{int(block.skip)}-{flags}"
    ratio = round(block.mid_channels / source.channels)
    return f"{base}-expand:{ratio}-kernel:{block.kernel}-stride:{block.stride}-idskip:{int(block.skip)}"


def latency_table(space: Space, estimate: Callable[[Graph], Estimate], *, batch: int = 1) -> LatencyTable:
    """Estimate each distinct block once.

    Parameters
    ----------
    estimate : callable
        (graph) → estimate, on the table's device.

    Raises
    ------
    BadOptionError
        Two different blocks have one key: the layout cannot tell them apart.
    """
    counts: dict[str, int] = {}
    distinct: dict[str, Block] = {}
    for key, block in blocks(space):
        counts[key] = counts.get(key, 0) + 1
        if distinct.setdefault(key, block) != block:
            raise BadOptionError(
                f"the {space.layout} layout has one key for different blocks: {key}",
                expected="stages of one shape to share activation and squeeze-excite",
                hint="layout: once-for-all" if space.layout == "proxylessnas" else "",
            )
    rows: list[TableRow] = []
    fixed: list[float] = []
    for key, block in distinct.items():
        result = estimate(block.graph(batch))
        kernels_s = sum(kernel.time_s for kernel in result.kernels)
        whole = result.latency
        scale = kernels_s / whole.p50_s if whole.p50_s else 0.0
        rows.append(TableRow(key, kernels_s, scale * (whole.p90_s - whole.p10_s) / _P10_TO_P90_DEVIATIONS, counts[key]))
        fixed.append(max(0.0, whole.p50_s - kernels_s))
    return LatencyTable(tuple(rows), min(fixed, default=0.0))


_P10_TO_P90_DEVIATIONS: Final = 2.563
"""Width of the p10 … p90 interval of a normal distribution, in standard deviations."""


def table_yaml(table: LatencyTable, header: str) -> str:
    """Write a table: times in ms, `header` as comment lines on top.

    Loads in once-for-all's ``LatencyTable`` and ProxylessNAS's ``LatencyEstimator``, which read ``mean``.
    """
    document: dict[str, dict[str, float | int]] = {
        row.key: {"mean": _ms(row.mean_s), "std": _ms(row.spread_s), "count": row.count} for row in table.rows
    }
    if table.fixed_s > 0:
        document[FIXED_KEY] = {"mean": _ms(table.fixed_s)}
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    text: str = yaml.safe_dump(document, sort_keys=False, width=1 << 16)
    return comment + text


def _ms(seconds: float) -> float:
    return float(f"{ms_from_s(seconds):.6g}")
