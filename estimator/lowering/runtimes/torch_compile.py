"""torch.compile with inductor: products stay library calls, everything around them fuses into loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from estimator.ir.graph import Graph
from estimator.ir.op import Op
from estimator.lowering.aten_products import as_aten_multiplies
from estimator.lowering.cudnn_layouts import COPIED_SLICES
from estimator.lowering.inductor_values import as_inductor_stores
from estimator.lowering.kernel import Kernel
from estimator.lowering.rule import KernelContext, OpContext, RuntimeRules, Target
from estimator.lowering.runtimes import inductor_cpu, inductor_gpu
from estimator.lowering.runtimes.inductor_loops import FUSION_RULES, on_cpu, reduces


def refine(kernel: Kernel, ops: Sequence[Op], context: OpContext) -> Kernel:
    """Add what the backend's generated code takes."""
    return inductor_cpu.refine(kernel, ops, context) if on_cpu(context) else inductor_gpu.refine(kernel, ops, context)


def _layout_roles(context: KernelContext) -> Mapping[str, str]:
    return inductor_cpu.layout_roles(context) if on_cpu(context) else inductor_gpu.layout_roles(context)


def _rewrite(graph: Graph, target: Target) -> Graph:
    """Spell out products as ATen does, and put loops where inductor computes them."""
    return as_inductor_stores(as_aten_multiplies(graph, target.unit_kind, target.torch_version), target.unit_kind)


RULES = RuntimeRules(
    name="torch-compile",
    rules=FUSION_RULES,
    anchor=reduces,
    expansions=(*inductor_cpu.EXPANSIONS, COPIED_SLICES, inductor_gpu.CONVERSIONS),
    roles=_layout_roles,
    rewrite=_rewrite,
    refine=refine,
)
