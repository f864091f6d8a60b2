"""The additive cost of an operator."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OpCost:
    """Exact integer costs; `a + b` adds field by field.

    Attributes
    ----------
    macs : int
        Multiply-accumulates of products (conv, matmul, attention, recurrent cells).
    other_flops : int
        Arithmetic outside MACs: bias, normalisation, activations, elementwise, reductions.
    bytes_read, bytes_written : int
        Compulsory traffic: each operand read once, each result written once; metadata-only ops move nothing.
    params : int
        Parameters read by the op, so that they can be shown per op (a graph's total is `Graph.params`).
    """

    macs: int = 0
    other_flops: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    params: int = 0

    @property
    def flops(self) -> int:
        """2 · macs + other_flops."""
        return 2 * self.macs + self.other_flops

    @property
    def bytes_moved(self) -> int:
        """Read plus written."""
        return self.bytes_read + self.bytes_written

    def __add__(self, other: OpCost) -> OpCost:
        return OpCost(
            self.macs + other.macs,
            self.other_flops + other.other_flops,
            self.bytes_read + other.bytes_read,
            self.bytes_written + other.bytes_written,
            self.params + other.params,
        )
