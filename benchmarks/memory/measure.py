"""Measure peak memory of torch models on this CPU: eager and as an exported program.

Peaks are what the allocator handed out above the weights and the input, from torch's memory profiler. Two threads:
with one, torch takes other convolutions, which need other scratch.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch.profiler import ProfilerActivity, profile

MODELS = (
    "alexnet", "convnext_tiny", "efficientnet_b0", "googlenet", "maxvit_t", "mnasnet1_0", "mobilenet_v3_large",
    "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1", "vgg11", "wide_resnet50_2",
    "segmentation.fcn_resnet50", "video.r3d_18",
)  # fmt: skip
MIB = 2**20


def peak_mib(run: Callable[[], Any]) -> float:
    with torch.no_grad():
        run()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            run()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak / MIB


def example(name: str, batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 8, 112, 112) if name.startswith("video.") else torch.randn(batch, 3, 224, 224)


def measure(name: str, batch: int) -> tuple[float, float]:
    place: Any = torchvision.models
    *rooms, builder = name.split(".")
    for room in rooms:
        place = getattr(place, room)
    options = {"weights_backbone": None} if rooms == ["segmentation"] else {}
    module = getattr(place, builder)(weights=None, **options).eval()
    x = example(name, batch)
    eager = peak_mib(lambda: module(x))
    program = torch.export.export(module, (x,), strict=False).module()
    return eager, peak_mib(lambda: program(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("models", nargs="*", default=MODELS)
    args = parser.parse_args()
    torch.set_num_threads(2)
    with args.output.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["model", "batch", "eager_peak_mib", "graph_peak_mib"])
        for name in args.models:
            for batch in args.batches:
                eager, graph = measure(name, batch)
                writer.writerow([f"torchvision:{name}", batch, f"{eager:.3f}", f"{graph:.3f}"])
                print(f"{name:28s} {batch:3d} {eager:9.3f} {graph:9.3f}", flush=True)


if __name__ == "__main__":
    main()
