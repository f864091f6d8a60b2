"""Ask PyTorch's inductor what it makes of a network for a GPU: its own scheduler, over fake tensors, without a GPU.

::

    python -m benchmarks.kernels schedule timm:convnext_atto timm:vit_small_patch16_224   (see `__main__`)

Every step is PyTorch's own (autocast, decompositions, graph passes, lowering, fusion), up to where code would be
generated. What would be timed on the device is off: padding of products, Triton's own products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.kernels.pretended_gpu import pretend

pretend()

import timm  # noqa: E402 - inductor reads what it is told about devices when it is imported
import torch  # noqa: E402
from timm.layers import set_fast_norm  # noqa: E402
from torch._inductor import compile_fx, scheduler  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.fx.graph import CodeGen  # noqa: E402

_DEVICE = torch.device("cuda:0")


@dataclass(frozen=True)
class Schedule:
    """Kernels of generated code and what they read and write; calls of libraries and what those do."""

    generated_count: int
    generated_bytes: int
    library_count: int
    library_bytes: int


class _Scheduled(BaseException):
    """Carries the schedule out of the compiler, before it generates code."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


def schedule_of(reference: str, shape: tuple[int, ...]) -> Schedule:
    """Schedule a timm model under autocast in fp16, as timm's benchmark compiles it.

    Parameters
    ----------
    reference : str
        ``timm:NAME`` or ``timm:NAME?branches=merged``.
    """
    torch._dynamo.reset()
    set_fast_norm(True)
    name, merges, _ = reference.removeprefix("timm:").partition("?")
    model = timm.create_model(name).eval()
    if merges:
        model = timm.utils.reparameterize_model(model, inplace=True)
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    slots = _take_tensors(model, mode)

    def run(tensors: list[torch.Tensor], x: torch.Tensor) -> Any:
        for (module, attribute, _), tensor in zip(slots, tensors, strict=True):
            module.__dict__[attribute] = tensor
        with torch.amp.autocast("cuda", dtype=torch.float16):
            return model(x)

    weights = [tensor for _, _, tensor in slots]
    x = FakeTensor(mode, torch.empty(shape, device="meta"), _DEVICE)
    with torch.no_grad():
        graph = make_fx(run, _allow_non_fake_inputs=True)(weights, x)
        graph.graph.set_codegen(CodeGen())  # flat arguments
        graph.recompile()
        try:
            with torch._guards.tracing(torch._guards.TracingContext(mode)):
                compile_fx.compile_fx(graph, [*weights, x])
        except _Scheduled as done:
            return done.schedule
    raise RuntimeError(f"inductor scheduled nothing for {reference}")


def _take_tensors(model: torch.nn.Module, mode: FakeTensorMode) -> list[tuple[torch.nn.Module, str, FakeTensor]]:
    """Put fake tensors of the device where a model keeps its own."""
    taken = []
    for module in model.modules():
        for registered in (module._parameters, module._buffers):
            for attribute, tensor in list(registered.items()):
                if tensor is None:
                    continue
                del registered[attribute]
                module.__dict__[attribute] = tensor
        for attribute, value in list(module.__dict__.items()):
            if isinstance(value, torch.Tensor):
                fake = FakeTensor(mode, value.detach().to("meta"), _DEVICE)
                module.__dict__[attribute] = fake
                taken.append((module, attribute, fake))
    return taken


def _stop(self: scheduler.Scheduler) -> None:
    library = [node for node in self.nodes if isinstance(node, scheduler.ExternKernelSchedulerNode)]
    others = (scheduler.ExternKernelSchedulerNode, scheduler.NopKernelSchedulerNode)
    generated = [node for node in self.nodes if not isinstance(node, others)]
    raise _Scheduled(Schedule(len(generated), _bytes(generated), len(library), _bytes(library)))


def _bytes(nodes: list[Any]) -> int:
    return sum(int(node.get_read_write_buffers_sizes()) for node in nodes)


scheduler.Scheduler.codegen = _stop
