"""Kernels of eager PyTorch under autocast, against what its dispatcher runs on fake CUDA tensors."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from estimator.catalogue.device import UnitKind
from estimator.dtypes import Precision
from estimator.engine import ResolvedTarget, lower_for
from estimator.frontends.select import load_graph
from estimator.frontends.timm_norms import set_fast_norms
from estimator.lowering.kernel import KernelClass

pytestmark = pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="fake CUDA tensors need a build with CUDA")
BATCH = 4
OPERATORS = {
    "_to_copy": "cast", "clone": "copy", "constant_pad_nd": "copy", "cat": "join", "mm": "product", "addmm": "product",
    "bmm": "product", "convolution": "convolution", "native_layer_norm": "norm", "cudnn_batch_norm": "batch norm",
    "native_batch_norm": "batch norm", "native_group_norm": "norm", "_softmax": "softmax", "_safe_softmax": "softmax",
    "mean": "reduction", "sum": "reduction", "avg_pool2d": "pool", "max_pool2d_with_indices": "pool",
}  # fmt: skip
CLASSES = {
    KernelClass.CAST: "cast", KernelClass.COPY: "copy", KernelClass.TRANSPOSE: "copy", KernelClass.CONCAT: "join",
    KernelClass.MATMUL: "product", KernelClass.MATVEC: "product", KernelClass.BATCHED_MATMUL: "product",
    KernelClass.CONV_STEM: "convolution", KernelClass.CONV_DENSE: "convolution", KernelClass.NORM: "batch norm",
    KernelClass.CONV_POINTWISE: "convolution", KernelClass.CONV_DEPTHWISE: "convolution",
    KernelClass.CONV_GROUPED: "convolution",
    KernelClass.NORM_REDUCE: "norm", KernelClass.SOFTMAX: "softmax", KernelClass.REDUCE: "reduction",
    KernelClass.POOL: "pool",
}  # fmt: skip
MODELS = {
    "resnet18": (), "densenet121": (), "inception_next_tiny": ("copy",), "ghostnet_050": (), "rdnet_tiny": ("copy",),
    "hrnet_w18_small": (), "dpn48b": (), "resnetv2_50x1_bit": (), "resnest14d": (), "cspresnext50": ("copy",),
    "convnext_atto": ("copy",), "levit_128s": ("copy",), "mixer_s32_224": ("copy",), "resmlp_12_224": ("copy",),
}  # fmt: skip
"""And what cannot be compared: layer norms, softmax and convolutions copy a view inside, and 2.14's autocast
folds where 2.4's multiplied in batches (`lowering/aten_products.py`)."""


class Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operator(*args, **(kwargs or {}))
        kind = OPERATORS.get(operator._schema.name.partition("::")[2])
        if kind and not isinstance(args[0], nn.Parameter):  # a weight's cast is a class of its own
            self.launches[kind] += 1
            outputs = [result] if isinstance(result, Tensor) else list(result)
            self.bytes[kind] += math.prod(outputs[0].shape) * outputs[0].dtype.itemsize
        return result


def fake_cuda(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(torch.empty(parameter.shape, device="cuda"))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="cuda")


def dispatched(name: str) -> Dispatched:
    with torch.random.fork_rng():
        model = set_fast_norms(timm.create_model(name).eval(), on=True)
    size = model.pretrained_cfg["input_size"]
    enabled, dtype = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad(), Dispatched() as run:
        fake_cuda(model)
        torch.set_autocast_enabled("cuda", True)  # the context manager would look for a GPU
        torch.set_autocast_dtype("cuda", torch.float16)
        try:
            model(torch.empty(BATCH, *size, device="cuda"))
        finally:
            torch.set_autocast_enabled("cuda", enabled)
            torch.set_autocast_dtype("cuda", dtype)
            torch.clear_autocast_cache()
    return run


@pytest.mark.parametrize("name", MODELS)
def test_launches_and_results_are_those_that_pytorch_dispatches(name: str):
    theirs = dispatched(name)
    graph = load_graph(f"timm:{name}", batch=BATCH)
    target = ResolvedTarget("torch-eager", Precision.AMP_FP16, "nchw", "calibrated")
    launches, written = Counter[str](), Counter[str]()
    for kernel in lower_for(graph, UnitKind.GPU, target).kernels:
        kind = CLASSES.get(kernel.kernel_class)
        if kind:
            launches[kind] += 1
            written[kind] += kernel.bytes_written
    for kind in sorted((theirs.launches.keys() | launches.keys()) - set(MODELS[name])):
        assert (kind, launches[kind], written[kind]) == (kind, theirs.launches[kind], theirs.bytes[kind])
