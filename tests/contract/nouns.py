"""Makers of arbitrary graphs, estimates and devices: every field takes values that a careless codec would lose."""

from hypothesis import strategies as st

from estimator.catalogue import device as dev
from estimator.dtypes import DType, Precision
from estimator.ir import op as ir
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.result import (
    Bound,
    BoundShare,
    Estimate,
    Interval,
    KernelEstimate,
    MemoryEstimate,
    Provenance,
    ProvenanceKind,
)

WEIGHTS = (TensorRole.PARAMETER, TensorRole.BUFFER, TensorRole.CONSTANT)

floats = st.floats(allow_nan=False, width=64)
counts = st.integers(0, 2**63 - 1)
extents = st.integers(0, 2**31)
words = st.text(st.characters(codec="utf-8"), max_size=8)
flags = st.booleans()
ints = st.lists(extents, max_size=3).map(tuple)


def optional(values):
    return st.none() | values


def tuples(values):
    return st.lists(values, max_size=2).map(tuple)


attributes = st.one_of(
    st.builds(ir.NoAttrs),
    st.builds(ir.ConvAttrs, ints, ints, ints, ints, extents, flags, flags),
    st.builds(ir.MatmulAttrs, flags, flags),
    st.builds(ir.EinsumAttrs, words),
    st.builds(ir.AttentionAttrs, flags, flags),
    st.builds(ir.RnnAttrs, words, extents, extents, flags, flags, flags, extents),
    st.builds(ir.NormAttrs, words, flags, extents, extents, flags),
    st.builds(ir.FunctionAttrs, words),
    st.builds(ir.SoftmaxAttrs, extents, flags),
    st.builds(ir.ReduceAttrs, words, ints, flags),
    st.builds(ir.PoolAttrs, words, ints, ints, ints, flags),
    st.builds(ir.AdaptivePoolAttrs, words, ints, flags),
    st.builds(ir.ResizeAttrs, words, flags, flags, flags),
    st.builds(ir.AxisAttrs, extents),
    st.builds(ir.CopyAttrs, words, flags),
    st.builds(ir.ControlAttrs, words, tuples(words)),
    st.builds(ir.UnknownAttrs, words),
)


@st.composite
def tensors(draw, name, roles):
    shape = tuple(draw(st.lists(st.integers(0, 64), max_size=4)))
    strides = draw(optional(st.tuples(*(st.integers(0, 4096) for _ in shape)))) if shape else None
    return TensorSpec(name, shape, draw(st.sampled_from(DType)), draw(st.sampled_from(roles)), draw(flags), strides)


@st.composite
def graphs(draw):
    """Any graph that is in execution order; kinds, attributes and shapes need not make sense together."""
    prefix = draw(words)
    specs, inputs, ops = {}, [], []
    for number in range(draw(st.integers(0, 5))):
        name = f"{prefix}t{number}"
        specs[name] = draw(tensors(name, (TensorRole.INPUT, *WEIGHTS)))
        if specs[name].role is TensorRole.INPUT:
            inputs.append(name)
    for number in range(draw(st.integers(1, 6))):
        known = sorted(specs)
        reads = tuple(draw(st.lists(st.sampled_from(known), max_size=4))) if known else ()
        writes = []
        for result in range(draw(st.integers(1, 2))):
            name = f"{prefix}r{number}.{result}"
            specs[name] = draw(tensors(name, (TensorRole.ACTIVATION,)))
            writes.append(name)
        kind = draw(st.sampled_from(ir.OpKind))
        ops.append(
            ir.Op(f"op{number}", kind, reads, tuple(writes), draw(attributes), draw(words), draw(words), draw(flags))
        )
    names = st.sampled_from(sorted(specs))
    outputs = tuple(draw(st.lists(names, max_size=3, unique=True)))
    return Graph(
        name=draw(words),
        tensors=specs,
        inputs=tuple(draw(st.permutations(inputs))),
        outputs=outputs,
        ops=tuple(ops),
        modules=draw(tuples(st.builds(ModuleSpec, words, words, tuples(words), tuples(words)))),
        module_calls=draw(tuples(st.builds(ModuleCall, words, tuples(names), tuples(names)))),
        notes=draw(tuples(words)),
        source_format=draw(words),
        one_input_per_item=draw(flags),
    )


kernels = st.builds(
    KernelEstimate, words, tuples(words), words, floats, floats, st.sampled_from(Bound), counts, counts,
    optional(floats), floats, words,
)  # fmt: skip
memories = st.builds(MemoryEstimate, *(st.integers(0, 2**60),) * 4)
estimates = st.builds(
    Estimate,
    model=words, device=words, device_name=words, unit=words, runtime=words, precision=words, layout=words,
    batch=counts, latency=st.builds(Interval, floats, floats, floats), naive_latency_s=floats,
    roofline_latency_s=floats, macs=counts, flops=counts, params=counts, bytes_moved=counts, memory=memories,
    memory_capacity_bytes=optional(counts), bound_share=st.builds(BoundShare, floats, floats, floats),
    coverage=floats, unsupported_ops=tuples(words),
    provenance=st.builds(Provenance, st.sampled_from(ProvenanceKind), counts, optional(floats), words),
    kernels=tuples(kernels), peak_flops_per_s=floats, peak_bandwidth_bytes_per_s=floats, warnings=tuples(words),
    assumptions=tuples(words),
)  # fmt: skip

bases = st.sampled_from(dev.Basis)
small = st.integers(0, 2**31 - 1)
units = st.builds(
    dev.Unit,
    name=words, kind=st.sampled_from(dev.UnitKind), display_name=words, architecture=words,
    ceilings=tuples(st.builds(dev.Ceiling, words, words, optional(words), floats, bases)),
    memory=tuples(st.builds(dev.MemoryLevel, words, optional(floats), optional(counts), bases)),
    runtimes=tuples(st.builds(dev.RuntimeSupport, words, tuples(st.sampled_from(Precision)))),
    core_count=optional(small), base_clock_hz=optional(floats), boost_clock_hz=optional(floats),
    sustained_clock_hz=optional(floats), max_clock_hz=optional(floats), vector_bits=optional(small),
    clusters=tuples(st.builds(dev.CoreCluster, words, small, floats, optional(floats), optional(small))),
    power_w=optional(floats), assumptions=tuples(words), fp32_flops_per_cycle_per_core=optional(floats),
    launch_overhead_s=optional(floats),
)  # fmt: skip
devices = st.builds(
    dev.Device,
    id=words, display_name=words, vendor=words, aliases=tuples(words),
    units=st.lists(units, max_size=2).map(lambda found: {unit.name: unit for unit in found}),
    default_unit=words, release_year=optional(small), memory_capacity_bytes=optional(counts),
    app_memory_bytes=optional(counts), power_w=optional(floats),
    claims=tuples(st.builds(dev.Claim, words, words, optional(floats), optional(words))),
    values=tuples(st.builds(dev.SourcedValue, words, words, bases, words, words)),
    host_link_bytes_per_s=optional(floats), extends=optional(words),
)  # fmt: skip
