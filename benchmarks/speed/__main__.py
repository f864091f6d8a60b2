"""How fast the estimator itself is: whole processes, tracing, and a warm estimate by its parts.

::

    python -m benchmarks.speed [--model torchvision:resnet50] [--device rtx4090] [--repeat 5]

Ratios are what carries between machines: each line also says how often it fits into a real thing that one would do
instead (``torch.export`` of the model, fvcore's count, one forward pass on this machine's CPU). CPU time, best of
`--repeat`. `python -m benchmarks.speed.grpc_batch` measures networks per second over the wire.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from estimator.catalogue.loader import load_device
from estimator.costs.registry import graph_cost
from estimator.engine import EstimateOptions, coefficients_for, estimate, lower_for, resolve_target
from estimator.frontends.select import load_graph
from estimator.frontends.torch_model import resolve
from estimator.lowering.kernel import KernelTable
from estimator.memory.peak import plan_memory
from estimator.timing.features import kernel_features
from estimator.timing.latency import time_network
from estimator.timing.roofline import ceilings_of


def cpu_s(run: Callable[[], object], repeat: int) -> float:
    """Least CPU time of a call in this process."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def process_cpu_s(arguments: list[str], repeat: int) -> float:
    """Least CPU time of the command line as a whole process."""
    best = float("inf")
    for _ in range(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", "from estimator.cli.main import main; main()", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def whole_processes(model: str, device: str, repeat: int) -> None:
    print("whole process, CPU seconds")
    print(f"  --help                          {process_cpu_s(['--help'], repeat):8.2f}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        process_cpu_s(["export-graph", model, "-o", str(path)], 1)
        print(f"  graph.json on {device:17s} {process_cpu_s([str(path), '--device', device], repeat):8.2f}")
    print(f"  {model:31s} {process_cpu_s([model, '--device', device], repeat):8.2f}")


def in_process(model: str, device: str, repeat: int) -> None:
    known, unit = load_device(device)
    graph = load_graph(model)
    options = EstimateOptions()
    target = resolve_target(known, unit, options)
    lowered = lower_for(graph, unit.kind, target)
    ceilings = ceilings_of(unit, target.precision)
    coefficients = coefficients_for(known, unit, target)
    features = kernel_features(KernelTable.from_kernels(lowered.kernels), ceilings)
    fused = [kernel.ops for kernel in lowered.kernels]
    print(f"\nin process, warm, {model} ({len(graph.ops)} ops, {len(lowered.kernels)} kernels), CPU milliseconds")
    parts: list[tuple[str, Callable[[], object]]] = [
        ("trace", lambda: load_graph(model)),
        ("count", lambda: graph_cost(graph)),
        ("lower", lambda: lower_for(graph, unit.kind, target)),
        ("memory plan", lambda: plan_memory(graph, fused=fused, runtime=target.runtime, unit_kind=unit.kind)),
        ("time all kernels", lambda: time_network(features, coefficients)),
        ("estimate, all but the trace", lambda: estimate(graph, known, unit, options)),
    ]
    taken = {name: cpu_s(run, repeat) for name, run in parts}
    for name, seconds in taken.items():
        print(f"  {name:31s} {1e3 * seconds:8.1f}")
    whole = taken["trace"] + taken["estimate, all but the trace"]
    print(f"\ntrace and estimate take {1e3 * whole:.0f} ms; instead of them, on this machine")
    for name, seconds in _alternatives(model, repeat).items():
        print(f"  {name:31s} {1e3 * seconds:8.0f} ms  {seconds / whole:6.1f} times as long")


def _alternatives(model: str, repeat: int) -> dict[str, float]:
    """Time what one would do without an estimator, each with real weights."""
    from fvcore.nn import FlopCountAnalysis

    source = resolve(model)
    module = source.construct().eval()
    example = torch.rand(source.inputs[0].shape)
    repeat = min(repeat, 3)

    def count() -> object:
        analysis = FlopCountAnalysis(module, example).unsupported_ops_warnings(False)
        return analysis.uncalled_modules_warnings(False).total()

    with torch.inference_mode():
        forward = cpu_s(lambda: module(example), repeat)
    return {
        "build the module": cpu_s(source.construct, repeat),
        "fvcore's count": cpu_s(count, repeat),
        "torch.export": cpu_s(lambda: torch.export.export(module, (example,), strict=False), repeat),
        "one forward pass (CPU seconds)": forward,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="torchvision:resnet50")
    parser.add_argument("--device", default="rtx4090")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # what torch and fvcore say about themselves
    whole_processes(options.model, options.device, options.repeat)
    in_process(options.model, options.device, options.repeat)


if __name__ == "__main__":
    main()
