"""``--explain KERNEL``: the formula, the numbers put into it and where they come from."""

from __future__ import annotations

import difflib

from estimator.errors import BadOptionError
from estimator.ir.graph import Graph
from estimator.ir.op import Op
from estimator.report.escaping import printable
from estimator.report.wording import operation_rate, percent, provenance_phrase, significant
from estimator.result import Estimate, KernelEstimate
from estimator.units import GIGA, format_bytes, format_count, format_seconds

_MAX_OPS = 12


def explain_kernel(estimate: Estimate, wanted: str, graph: Graph) -> str:
    """Explain one kernel's time.

    Parameters
    ----------
    wanted : str
        A kernel's name, the name of one of its ops, its module path, ``#N``, its place in execution order, or its
        class: the one of that class that takes longest.

    Raises
    ------
    BadOptionError
        No kernel answers to this; the message lists near ones.
    """
    kernel = find_kernel(estimate, wanted)
    peak, bandwidth = estimate.peak_flops_per_s, estimate.peak_bandwidth_bytes_per_s
    compute_s = kernel.flops / peak if peak else 0.0
    memory_s = kernel.bytes_moved / bandwidth if bandwidth else 0.0
    floor_s = max(compute_s, memory_s)
    intensity = kernel.intensity_flops_per_byte
    rate = operation_rate(peak, estimate.precision)
    head = f"{kernel.name} · {kernel.kernel_class} · {estimate.runtime} · {estimate.device}/{estimate.unit}"
    lines = [
        printable(head),
        "",
        f"  time          {format_seconds(kernel.time_s)}, {percent(kernel.share)} of the latency, "
        f"{kernel.bound.value}-bound",
        "  formula       time = max(FLOPs ÷ ceiling, bytes ÷ bandwidth), each derated, + overhead: launch, waits",
        f"  FLOPs         {format_count(kernel.flops)} ÷ {rate} = {format_seconds(compute_s)}",
        f"  bytes         {format_bytes(kernel.bytes_moved)} ÷ {significant(bandwidth / GIGA)} GB/s "
        f"= {format_seconds(memory_s)}",
        f"  floor         {format_seconds(floor_s)} at the advertised peaks, "
        f"{percent(floor_s / kernel.time_s if kernel.time_s else 0.0)} of the time",
        f"  intensity     {'–' if intensity is None else significant(intensity)} FLOP/B; ridge point "
        f"{significant(peak / bandwidth if bandwidth else 0.0)} FLOP/B",
        f"  utilisation   {percent(kernel.utilisation)} of the ceiling that binds it",
        f"  rests on      {printable(provenance_phrase(estimate.provenance))}"
        + (f" ({printable(estimate.provenance.calibration)})" if estimate.provenance.calibration else ""),
        f"  device facts  estimator-cli devices show {printable(estimate.device)}",
    ]
    if kernel.scope:
        lines.append(f"  module        {printable(kernel.scope)}")
    return "\n".join([*lines, "", "  operators, in the model's own element types:", *_op_lines(kernel, graph)])


def find_kernel(estimate: Estimate, wanted: str) -> KernelEstimate:
    """Find a kernel by name, op, module path, ``#N`` or class.

    Raises
    ------
    BadOptionError
        No kernel answers to this.
    """
    kernels = estimate.kernels
    if wanted.startswith("#") and wanted[1:].isdecimal() and int(wanted[1:]) < len(kernels):
        return kernels[int(wanted[1:])]
    for matches in (
        lambda kernel: kernel.name == wanted,
        lambda kernel: wanted in kernel.ops,
        lambda kernel: kernel.scope == wanted,
    ):
        for kernel in kernels:
            if matches(kernel):
                return kernel
    of_class = [kernel for kernel in kernels if kernel.kernel_class == wanted]
    if of_class:
        return max(of_class, key=lambda kernel: kernel.time_s)
    names = [kernel.name for kernel in kernels]
    close = difflib.get_close_matches(wanted, names, n=4, cutoff=0.3) or names[:4]
    last = len(kernels) - 1
    raise BadOptionError(
        f"no kernel {wanted!r} (--explain)",
        expected=f"a name such as {', '.join(close)}, or #0 to #{last}" if kernels else "a model with kernels",
        hint="--format csv lists all kernels",
    )


def _op_lines(kernel: KernelEstimate, graph: Graph) -> list[str]:
    by_name = {op.name: op for op in graph.ops}
    ops = [by_name[name] for name in kernel.ops if name in by_name]
    lines = [f"  {_op_text(op, graph)}" for op in ops[:_MAX_OPS]]
    if len(ops) > _MAX_OPS:
        lines.append(f"  … {len(ops) - _MAX_OPS} more operators")
    return lines


def _op_text(op: Op, graph: Graph) -> str:
    def specs(names: tuple[str, ...]) -> str:
        tensors = (graph.tensors[name] for name in names)
        return ", ".join(f"{t.dtype.value}[{','.join(map(str, t.shape))}]" for t in tensors)

    return printable(f"{op.name}: {op.kind.value}({specs(op.inputs)}) → {specs(op.outputs)}")
