"""Ask PyTorch's inductor what it makes of a network: its own scheduler, over fake tensors, for a GPU without a GPU.

Every step is PyTorch's own (autocast, decompositions, graph passes, lowering, fusion), up to where code would be
generated. What would be timed on the device is off: padding of products, Triton's own products.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import timm
import torch
from timm.layers import set_fast_norm
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

from benchmarks.kernels.pretended_gpu import pretend


@dataclass(frozen=True)
class Schedule:
    """Kernels of generated code and what they read and write, those that only convert weights apart; library calls."""

    generated_count: int
    generated_bytes: int
    library_count: int


class _Scheduled(BaseException):
    """Carries a schedule out of the compiler, before it generates code."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule


class Scheduler:
    """Schedules networks for one kind of unit; one per process, since inductor reads what it is told when imported."""

    def __init__(self, unit: str) -> None:
        self.device = torch.device("cuda:0" if unit == "gpu" else "cpu")
        if unit == "gpu":
            pretend()
        from torch._inductor import compile_fx, scheduler

        def stop(own: scheduler.Scheduler) -> None:
            raise _Scheduled(self._summed(own.nodes))

        scheduler.Scheduler.codegen = stop
        self._compile, self._kinds, self._input = compile_fx.compile_fx, scheduler, ""

    def schedule(self, reference: str, shape: tuple[int, ...]) -> Schedule:
        """Schedule a timm model as timm's benchmark compiles it: autocast in fp16 on a GPU, fp32 on a CPU.

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
        slots = self._take_tensors(model, mode)

        def run(tensors: list[torch.Tensor], x: torch.Tensor) -> Any:
            for (module, attribute, _), tensor in zip(slots, tensors, strict=True):
                module.__dict__[attribute] = tensor
            with self._autocast():
                return model(x)

        weights = [tensor for _, _, tensor in slots]
        x = self._fake(torch.empty(shape, device="meta"), mode)
        self._input = f"arg{len(weights)}_1"
        with torch.no_grad():
            graph = make_fx(run, _allow_non_fake_inputs=True)(weights, x)
            graph.graph.set_codegen(CodeGen())  # flat arguments
            graph.recompile()
            try:
                with torch._guards.tracing(torch._guards.TracingContext(mode)):
                    self._compile(graph, [*weights, x])
            except _Scheduled as done:
                return done.schedule
        raise RuntimeError(f"inductor scheduled nothing for {reference}")

    def _autocast(self) -> AbstractContextManager[Any]:
        if self.device.type == "cpu":
            return nullcontext()
        return torch.amp.autocast(self.device.type, dtype=torch.float16)

    def _fake(self, tensor: torch.Tensor, mode: FakeTensorMode) -> FakeTensor:
        return FakeTensor(mode, tensor.detach().to("meta"), self.device)

    def _take_tensors(
        self, model: torch.nn.Module, mode: FakeTensorMode
    ) -> list[tuple[torch.nn.Module, str, FakeTensor]]:
        """Put fake tensors of the device where a model keeps its own."""
        taken = []
        for module in model.modules():
            for registered in (module._parameters, module._buffers):
                for attribute, tensor in list(registered.items()):
                    if tensor is not None:
                        del registered[attribute]
                        module.__dict__[attribute] = tensor
            for attribute, value in list(module.__dict__.items()):
                if isinstance(value, torch.Tensor):
                    fake = self._fake(value, mode)
                    module.__dict__[attribute] = fake
                    taken.append((module, attribute, fake))
        return taken

    def _summed(self, nodes: list[Any]) -> Schedule:
        library = [node for node in nodes if isinstance(node, self._kinds.ExternKernelSchedulerNode)]
        others = (self._kinds.ExternKernelSchedulerNode, self._kinds.NopKernelSchedulerNode)
        generated = [n for n in nodes if not isinstance(n, others) and not _converts_weights(n, self._input)]
        return Schedule(
            len(generated), sum(int(node.get_read_write_buffers_sizes()) for node in generated), len(library)
        )


def _converts_weights(node: Any, x: str) -> bool:
    """Whether a kernel reads arguments other than the network's input alone."""
    reads = [dependency.name for dependency in node.read_writes.reads]
    return bool(reads) and all(name.startswith("arg") and name != x for name in reads)
