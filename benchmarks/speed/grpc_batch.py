"""Networks per second through `BatchEstimate`: what a search gets over the wire, and what each part costs.

Run with ``python -m benchmarks.speed.grpc_batch [--graphs N] [--batch N] [--workers N] [--device D] [--runtime R]``.

Two searches: random chains of inverted-residual-like blocks (linear, activation, addition) drawn from few distinct
operators, and a quarter as many NAS-Bench-201 networks, of some 260 operators each. Printed per stage: networks,
seconds, networks per second.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence

from estimator.calibration.nasbench201 import EDGES, Cell, EdgeOp, network
from estimator.client.batch_builder import BatchBuilder
from estimator.client.local import Estimator
from estimator.client.remote import connect
from estimator.dtypes import DType
from estimator.ir.graph import Graph
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole, TensorSpec
from estimator.service.graph_batch import GraphBatch
from estimator.service.limits import Limits
from estimator.service.server import Server, ServerOptions
from estimator.v1 import graph_pb2

WIDTHS = (16, 24, 32, 48, 64)
ACTIVATIONS = ("relu", "relu6", "hardswish", "gelu")
BLOCKS = 8


def candidate(rng: random.Random) -> Graph:
    """Draw one network: `BLOCKS` × (expand, activate, project, add)."""
    width = rng.choice(WIDTHS)
    tensors = {"x": TensorSpec("x", (1, width), DType.F32, TensorRole.INPUT)}
    ops: list[Op] = []
    last = "x"
    for i in range(BLOCKS):
        inner = width * rng.choice((3, 4, 6))
        for name, shape in ((f"u{i}", (inner, width)), (f"d{i}", (width, inner))):
            tensors[name] = TensorSpec(name, shape, DType.F32, TensorRole.PARAMETER)
        for name, extent in ((f"a{i}", inner), (f"b{i}", inner), (f"c{i}", width), (f"y{i}", width)):
            tensors[name] = TensorSpec(name, (1, extent), DType.F32)
        ops += [
            Op(f"expand{i}", OpKind.LINEAR, (last, f"u{i}"), (f"a{i}",)),
            Op(f"act{i}", OpKind.ACTIVATION, (f"a{i}",), (f"b{i}",), FunctionAttrs(rng.choice(ACTIVATIONS))),
            Op(f"project{i}", OpKind.LINEAR, (f"b{i}", f"d{i}"), (f"c{i}",)),
            Op(f"add{i}", OpKind.BINARY, (f"c{i}", last), (f"y{i}",), FunctionAttrs("add")),
        ]
        last = f"y{i}"
    return Graph("candidate", tensors, ("x",), (last,), tuple(ops))


def nas_candidate(rng: random.Random) -> Graph:
    """Draw one network of NAS-Bench-201."""
    return network(Cell(tuple(rng.choices(tuple(EdgeOp), k=len(EDGES)))))


def timed(stage: str, count: int, work: Callable[[], object]) -> None:
    """Run a stage once and print its rate."""
    began = time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    print(f"{stage:<44} {count:>8,} {seconds:>9.3f} s {count / seconds:>12,.0f} /s")


def batches(graphs: Sequence[Graph], size: int) -> list[bytes]:
    """Encode the networks as messages of `size` each; the last may be smaller."""
    encoded = []
    builder = BatchBuilder()
    for graph in graphs:
        builder.add(graph)
        if builder.graph_count == size:
            encoded.append(builder.take().SerializeToString())
    return [*encoded, builder.take().SerializeToString()] if builder.graph_count else encoded


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="sd865")
    parser.add_argument("--runtime")
    options = parser.parse_args()
    rng = random.Random(0)
    measure("blocks", [candidate(rng) for _ in range(options.graphs)], options)
    measure("NAS-Bench-201", [nas_candidate(rng) for _ in range(options.graphs // 4)], options)


def measure(search: str, graphs: Sequence[Graph], options: argparse.Namespace) -> None:
    """Print the stages of one search."""
    local = Estimator(options.device, runtime=options.runtime)
    local.estimate(graphs[0])  # the first one reads the device and its calibration
    ops = sum(len(graph.ops) for graph in graphs) / len(graphs)
    print(f"\n{search}: {len(graphs):,} networks of {ops:,.0f} operators, batches of {options.batch:,}")
    messages = batches(graphs, options.batch)
    timed("client: intern and encode", len(graphs), lambda: batches(graphs, options.batch))
    print(f"{'':<44} {sum(map(len, messages)) / len(graphs):>8,.0f} bytes a network")
    checked = [GraphBatch(graph_pb2.GraphBatch.FromString(m), Limits()) for m in messages]
    timed(
        "service: parse and check all arrays",
        len(graphs),
        lambda: [GraphBatch(graph_pb2.GraphBatch.FromString(m), Limits()) for m in messages],
    )
    timed("service: build graphs", len(graphs), lambda: [b.graph(i) for b in checked for i in range(len(b))])
    some = graphs[:200]
    timed("local: Estimator.estimate, one by one", len(some), lambda: [local.estimate(graph) for graph in some])
    timed("local: Estimator.estimate_many", len(graphs), lambda: local.estimate_many(graphs))
    workers = f"{options.workers} worker{'s' if options.workers > 1 else ''}"
    with (
        Server(ServerOptions(listen="localhost:0", workers=options.workers)) as server,
        connect(server.address, options.device, runtime=options.runtime, timeout_s=600) as remote,
    ):
        remote.estimate_many(graphs[:2])
        timed(f"remote: BatchEstimate, {workers}", len(graphs), lambda: remote.estimate_many(graphs))
        timed(f"remote: StreamEstimate, {workers}", len(graphs), lambda: list(remote.estimate_stream(graphs)))
        timed(f"remote: Estimate, one by one, {workers}", len(some), lambda: [remote.estimate(g) for g in some])


if __name__ == "__main__":
    main()
