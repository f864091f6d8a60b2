"""Make PyTorch plan for an RTX 4090 on a machine without a GPU: over fake tensors nothing is ever launched.

Call `pretend` before inductor's compiler is imported. The process must have been started with `driver_stub.c`,
compiled, in ``LD_PRELOAD`` (`start` does), since device guards and attention's dispatch ask CUDA's runtime from C++.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STUB = Path(__file__).with_name("driver_stub.c")


class Properties:
    """What inductor asks of a device. Source: NVIDIA Ada whitepaper; CUDA programming guide, compute capability 8.9."""

    name = "NVIDIA GeForce RTX 4090"
    major, minor = 8, 9
    multi_processor_count = 128
    warp_size = 32
    total_memory = 24 << 30
    max_threads_per_multi_processor = 1536
    regs_per_multiprocessor = 65536
    shared_memory_per_block = 49152
    shared_memory_per_block_optin = 101376
    shared_memory_per_multiprocessor = 102400
    L2_cache_size = 72 << 20
    gcnArchName = ""


def start(module: str, arguments: Sequence[str]) -> int:
    """Run a module of this package in a process that has the stub of the driver."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "driver_stub.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", str(library), str(STUB)], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1"}
        return subprocess.run([sys.executable, "-W", "ignore", "-m", module, *arguments], env=environment).returncode


def pretend() -> None:
    """Let PyTorch believe that the device is there, and inductor measure nothing."""
    import torch
    import torch._dynamo.device_interface as interfaces
    import torch._inductor.config as config
    import torch._inductor.fx_passes.fuse_attention as fuse_attention
    import torch._inductor.fx_passes.misc_patterns as misc_patterns
    import torch._inductor.fx_passes.pad_mm as pad_mm
    import torch._subclasses.fake_tensor as fake_tensor
    import torch.cuda.random

    config.fx_graph_cache = False
    config.shape_padding = False  # decided by timing products
    config.joint_graph_constant_folding = False  # it computes
    config.compile_threads = 1

    cuda = torch.cuda
    for module in (cuda, cuda.random):
        module._lazy_init = lambda: None
    cuda.is_available = lambda: True
    cuda.device_count = lambda: 1
    cuda.current_device = lambda: 0
    cuda.is_initialized = lambda: False
    cuda.set_device = lambda device: None
    cuda.synchronize = lambda device=None: None
    cuda.get_device_properties = cuda._get_device_properties = lambda device=None: Properties
    cuda.get_device_capability = lambda device=None: (Properties.major, Properties.minor)
    cuda.get_rng_state = lambda *_: torch.zeros(16, dtype=torch.uint8)
    cuda.set_rng_state = lambda *_, **__: None
    cuda._exchange_device = cuda._maybe_exchange_device = lambda device: -1
    interface = interfaces.CudaInterface
    interface.get_device_properties = staticmethod(lambda device=None: Properties)
    interface.Worker.get_device_properties = staticmethod(lambda device=None: Properties)
    interface.get_compute_capability = staticmethod(lambda device=None: 89)
    fake_tensor.init_gpu_context = lambda device: None
    torch._C._select_conv_backend = lambda *_, **__: torch._C._ConvBackend.Cudnn
    torch._C._conv_determine_backend_memory_format = _convolution_layout

    # Patterns are traced once, with small real tensors.
    patterns = fuse_attention._get_sfdp_patterns
    fuse_attention._get_sfdp_patterns = lambda device=None: _patterns_on_cpu(patterns)
    misc_patterns._misc_patterns_init = _on_cpu(misc_patterns._misc_patterns_init)
    pad_mm._pad_mm_init = _on_cpu(pad_mm._pad_mm_init)


def _convolution_layout(x: Any, weight: Any, backend: Any) -> Any:
    import torch

    last = torch.channels_last
    is_last = any(t.is_contiguous(memory_format=last) and not t.is_contiguous() for t in (x, weight) if t.dim() == 4)
    return last if is_last else torch.contiguous_format


@contextmanager
def _without_gpu() -> Iterator[Any]:
    """Stop pretending for a while, and hand out the CPU."""
    import torch

    pretended, torch.cuda.is_available = torch.cuda.is_available, lambda: False
    try:
        yield torch.device("cpu")
    finally:
        torch.cuda.is_available = pretended


def _patterns_on_cpu(patterns: Callable[..., Iterator[Any]]) -> Iterator[Any]:
    with _without_gpu() as cpu:
        yield from patterns(cpu)


def _on_cpu(initialise: Callable[..., Any]) -> Callable[..., Any]:
    def run(device: Any = None) -> Any:
        with _without_gpu() as cpu:
            return initialise(cpu)

    return run
