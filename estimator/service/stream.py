"""The growing dictionary of one stream: makes each of its batches complete."""

from __future__ import annotations

import numpy as np

from estimator.errors import BadOptionError
from estimator.service.limits import Limits
from estimator.v1 import estimator_pb2 as pb
from estimator.v1 import graph_pb2


class StreamDictionary:
    """Operators and targets that a stream has sent so far."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._ops: list[graph_pb2.BatchOp] = []
        self._size_bytes = 0
        self._targets: list[pb.Target] = []

    def complete(self, request: pb.StreamEstimateRequest) -> pb.BatchEstimateRequest:
        """Make a batch that stands on its own: the operators it uses, renumbered, and its targets.

        Raises
        ------
        RequestLimitError
            The stream has sent too many distinct operators, or too long ones.
        BadOptionError
            An entry of `op_index` is none of them.
        """
        self._ops.extend(request.batch.ops)
        self._size_bytes += sum(op.ByteSize() for op in request.batch.ops)
        self._limits.check("distinct_ops", len(self._ops))
        self._limits.check("message_bytes", self._size_bytes)
        if request.targets:
            self._targets = list(request.targets)
        used, op_index = np.unique(np.asarray(request.batch.op_index).astype(np.int64), return_inverse=True)
        if len(used) and not 0 <= used[0] <= used[-1] < len(self._ops):
            raise BadOptionError(
                f"op_index runs from {used[0]} to {used[-1]}",
                where="batch.op_index",
                expected=f"one of the {len(self._ops)} operators that this stream has sent",
            )
        batch = graph_pb2.GraphBatch(
            ops=[self._ops[i] for i in used.tolist()],
            graph_offsets=request.batch.graph_offsets,
            op_index=op_index.tolist(),
            edge_offsets=request.batch.edge_offsets,
            edge_src=request.batch.edge_src,
            output_offsets=request.batch.output_offsets,
            output_src=request.batch.output_src,
            call_offsets=request.batch.call_offsets,
            call_value_offsets=request.batch.call_value_offsets,
            call_values=request.batch.call_values,
        )
        return pb.BatchEstimateRequest(batch=batch, targets=self._targets)
