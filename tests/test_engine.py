"""What must hold of every estimate: each device, unit and default runtime of the catalogue × several graphs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from estimator.catalogue.calibration_file import dump_calibration, find_calibration, load_response
from estimator.catalogue.loader import list_devices, load_device
from estimator.dtypes import DType
from estimator.engine import EstimateOptions, estimate
from estimator.errors import BadOptionError, UnknownRuntimeError, UnsupportedCombinationError
from estimator.ir.graph import Graph
from estimator.ir.text import parse_graph
from estimator.result import Estimate
from estimator.timing.roofline import ceilings_of

UNITS = [(device, unit) for device in list_devices() for unit in device.units.values()]
every_unit = pytest.mark.parametrize(("device", "unit"), UNITS, ids=[f"{d.id}/{u.name}" for d, u in UNITS])


def convolutions(batch: int) -> Graph:
    """Stem, batch norm, relu, depthwise, wide convolution, residual add and a classifier."""
    n, same = batch, "stride=[1,1] padding=[1,1] dilation=[1,1]"
    return parse_graph(f"""\
graph convolutions
input x f32[{n},3,64,64]
parameter w1 f32[32,3,3,3]
parameter scale f32[32]
parameter w2 f32[32,1,3,3]
parameter w3 f32[32,32,3,3]
parameter w4 f32[10,32]
a f32[{n},32,64,64] = conv(x, w1) kernel=[3,3] {same}
b f32[{n},32,64,64] = norm(a, scale) function=batch
c f32[{n},32,64,64] = activation(b) function=relu
d f32[{n},32,64,64] = conv(c, w2) kernel=[3,3] {same} groups=32
e f32[{n},32,64,64] = conv(d, w3) kernel=[3,3] {same}
f f32[{n},32,64,64] = binary(e, c) function=add
g f32[{n},32] = reduce(f) function=mean axes=[2,3]
h f32[{n},10] = linear(g, w4)
output h
""")


def transformer(batch: int) -> Graph:
    """One block: layer norm, projection, attention, projection, residual add, softmax."""
    n = batch
    return parse_graph(f"""\
graph transformer
input x f32[{n},64,128]
parameter scale f32[128]
parameter w f32[128,128]
a f32[{n},64,128] = norm(x, scale) function=layer
b f32[{n},64,128] = linear(a, w)
h f32[{n},4,64,32] = view(b) function=reshape
i f32[{n},4,64,32] = attention(h, h, h)
j f32[{n},64,128] = view(i) function=reshape
k f32[{n},64,128] = linear(j, w)
l f32[{n},64,128] = binary(k, x) function=add
m f32[{n},64,128] = softmax(l) axis=2
output m
""")


def wide_product(batch: int) -> Graph:
    """One product so large that nothing but the compute ceiling matters."""
    return parse_graph(f"""\
graph product
input x f32[{batch},4096]
parameter w f32[4096,4096]
y f32[{batch},4096] = linear(x, w)
output y
""")


GRAPHS = [convolutions(1), convolutions(8), transformer(1), transformer(8), wide_product(4096)]


def check_adds_up(result: Estimate) -> None:
    latency = result.latency
    assert 0 < latency.p10_s <= latency.p50_s <= latency.p90_s < math.inf
    share = result.bound_share
    assert share.compute + share.memory + share.overhead == pytest.approx(1.0)
    fixed_s = latency.p50_s - sum(kernel.time_s for kernel in result.kernels)
    assert fixed_s >= -1e-9 * latency.p50_s
    assert sum(kernel.share for kernel in result.kernels) == pytest.approx(1.0 - fixed_s / latency.p50_s)
    memory = result.memory
    assert memory.peak_bytes == (
        memory.weights_bytes + memory.activation_bytes + memory.workspace_bytes + memory.kv_cache_bytes
    )
    assert result.bytes_moved == sum(kernel.bytes_moved for kernel in result.kernels)


@every_unit
def test_every_unit_of_the_catalogue_gives_estimates_that_add_up(device, unit):
    for graph in GRAPHS:
        check_adds_up(estimate(graph, device, unit))


@every_unit
def test_no_estimate_is_faster_than_the_ceiling_at_the_highest_clock(device, unit):
    precision = unit.default_runtime.precisions[0]
    fastest = ceilings_of(unit, precision).fastest_flops_per_s
    for graph in GRAPHS:
        result = estimate(graph, device, unit)
        for kernel in result.kernels:
            assert kernel.time_s >= kernel.flops / fastest * (1 - 1e-9)
        assert result.latency.p50_s >= sum(kernel.flops for kernel in result.kernels) / fastest * (1 - 1e-9)


@every_unit
def test_a_batch_of_eight_takes_longer_than_one(device, unit):
    for make in (convolutions, transformer):
        one, eight = (estimate(make(batch), device, unit).latency.p50_s for batch in (1, 8))
        assert eight >= one or eight == pytest.approx(one)  # both may be what launches take


def test_an_estimate_is_a_pure_function():
    device, unit = UNITS[0]
    assert estimate(GRAPHS[0], device, unit) == estimate(GRAPHS[0], device, unit)


def test_a_dtype_of_the_file_does_not_matter_once_a_precision_is_chosen():
    device, unit = UNITS[0]
    graph = convolutions(1)
    halved = replace(graph, tensors={n: replace(t, dtype=DType.F16) for n, t in graph.tensors.items()})
    assert estimate(halved, device, unit).latency == estimate(graph, device, unit).latency


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (EstimateOptions(runtime="nonesuch"), UnknownRuntimeError),
        (EstimateOptions(layout="hwcn"), BadOptionError),
        (EstimateOptions(source="guess"), BadOptionError),
    ],
)
def test_options_that_do_not_exist_are_refused(options, error):
    device, unit = UNITS[0]
    with pytest.raises(error):
        estimate(GRAPHS[0], device, unit, options)


def test_a_calibration_for_something_else_is_not_passed_over_in_silence(tmp_path):
    found = find_calibration("rtx4090", "gpu", "torch-compile", "nchw")
    assert found is not None
    own = tmp_path / "own.yaml"
    dump_calibration(found, load_response(found.response).class_names, own)
    said = {}
    for runtime in ("torch-compile", "torch-eager"):
        options = EstimateOptions(runtime=runtime, calibrations=(own,))
        said[runtime] = [
            w for w in estimate(convolutions(1), *load_device("rtx4090"), options).warnings if str(own) in w
        ]
    assert said["torch-compile"] == []
    (warning,) = said["torch-eager"]
    assert "own.yaml is for rtx4090/gpu torch-compile, not rtx4090/gpu torch-eager" in warning


def test_a_runtime_that_the_unit_lacks_is_refused_with_those_it_has():
    device, unit = next((d, u) for d, u in UNITS if d.id == "rtx4090")
    with pytest.raises(UnsupportedCombinationError, match="qnn"):
        estimate(GRAPHS[0], device, unit, EstimateOptions(runtime="qnn"))


@pytest.mark.parametrize(("reference", "warned"), [("sd865/cpu", 1), ("sd865/npu", 0)])
def test_a_quantised_file_in_another_precision_is_said_to_be_one(reference: str, warned: int):
    graph = parse_graph("""\
    graph quantised
    input x i8[1,64,128]
    parameter w i8[256,128]
    y i8[1,64,256] = linear(x, w)
    output y
    """)
    warnings = estimate(graph, *load_device(reference)).warnings  # fp32 on the CPU, int8 on the NPU
    assert sum("--precision int8" in text for text in warnings) == warned
