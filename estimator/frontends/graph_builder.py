"""Collect tensors and ops of a model file and freeze them into a validated `Graph`.

All file front-ends end here, so that naming, notes, unread weights and parameter counting are decided once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from estimator.dtypes import DType
from estimator.errors import GraphError, ModelFileError
from estimator.ir.graph import Graph
from estimator.ir.op import Attrs, NoAttrs, Op, OpKind
from estimator.ir.tensor import Shape, TensorRole, TensorSpec
from estimator.ir.validate import validate

NO_ATTRS: Final = NoAttrs()


@dataclass(slots=True)
class GraphBuilder:
    """A graph under construction.

    Attributes
    ----------
    derived_from : dict of str to tuple of str
        Weights made from other weights at load time (a transposed or dequantised copy) and their sources.
    orders : dict of str to tuple of int
        Axis order of each transposing op, by op name; `rebatch` follows the batch axis with it.
    """

    tensors: dict[str, TensorSpec] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    derived_from: dict[str, tuple[str, ...]] = field(default_factory=dict)
    orders: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _notes: dict[str, None] = field(default_factory=dict)
    _op_names: dict[str, int] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Record what was assumed or could not be seen; said once however often it happens."""
        self._notes.setdefault(text)

    def add_tensor(
        self,
        name: str,
        shape: Iterable[int],
        dtype: DType,
        role: TensorRole = TensorRole.ACTIVATION,
        quantised: bool = False,
    ) -> TensorSpec:
        """Declare a tensor; a second declaration of a name replaces the first."""
        spec = TensorSpec(name, tuple(shape), dtype, role, quantised)
        self.tensors[name] = spec
        return spec

    def set_role(self, name: str, role: TensorRole) -> None:
        """Change what a weight counts as; activations and inputs keep their role."""
        spec = self.tensors[name]
        if spec.is_weight and spec.role is not role:
            self.tensors[name] = replace(spec, role=role)

    def add_derived(
        self, name: str, shape: Iterable[int], dtype: DType, sources: Sequence[TensorSpec], quantised: bool = False
    ) -> None:
        """Declare a weight that is made from other weights when the model is loaded.

        It is learned if one of its sources is.
        """
        learned = [s for s in sources if s.role is TensorRole.PARAMETER]
        largest = max(sources, key=lambda s: s.numel, default=None)
        role = TensorRole.PARAMETER if learned else largest.role if largest else TensorRole.CONSTANT
        self.add_tensor(name, shape, dtype, role, quantised or (largest is not None and largest.quantised))
        self.derived_from[name] = tuple(s.name for s in learned or sources)

    def unique_tensor(self, stem: str) -> str:
        """Return a tensor name that is not taken, `stem` itself where possible."""
        name, count = stem, 1
        while name in self.tensors:
            count += 1
            name = f"{stem}.{count}"
        return name

    def unique_op(self, stem: str) -> str:
        """Return an op name that is not taken, `stem` itself where possible."""
        count = self._op_names.get(stem, 0)
        self._op_names[stem] = count + 1
        return stem if count == 0 else self.unique_op(f"{stem}.{count + 1}")

    def emit(
        self,
        kind: OpKind,
        inputs: Iterable[str],
        outputs: Iterable[str],
        attrs: Attrs = NO_ATTRS,
        *,
        name: str,
        source: str,
        scope: str = "",
        in_place: bool = False,
    ) -> Op:
        """Append an op; its outputs must have been declared."""
        op = Op(self.unique_op(name), kind, tuple(inputs), tuple(outputs), attrs, scope, source, in_place=in_place)
        self.ops.append(op)
        return op

    def shape_of(self, name: str) -> Shape:
        """Extents of a declared tensor."""
        return self.tensors[name].shape

    @contextmanager
    def rehearsal(self) -> Iterator[list[str]]:
        """Build something for its shapes only: afterwards the graph is as before.

        Yields
        ------
        list of str
            Filled on leaving with the weights that the dropped ops read; these stay declared, so that they count.
        """
        kept_ops, kept_tensors = len(self.ops), dict(self.tensors)
        kept_derived, kept_names = dict(self.derived_from), dict(self._op_names)
        weights_read: list[str] = []
        try:
            yield weights_read
        finally:
            read = dict.fromkeys(name for op in self.ops[kept_ops:] for name in op.inputs)
            weights = {n: self.tensors[n] for n in read if n in self.tensors and self.tensors[n].is_weight}
            weights_read.extend(weights)
            self.derived_from = kept_derived | {n: d for n, d in self.derived_from.items() if n in weights}
            self.tensors = kept_tensors | weights
            self._op_names = kept_names
            del self.ops[kept_ops:]

    @contextmanager
    def undone_on(self, failure: type[Exception]) -> Iterator[None]:
        """Build something that may turn out undecidable: on `failure`, which passes on, the graph is as before."""
        ops, tensors, derived, orders = len(self.ops), dict(self.tensors), dict(self.derived_from), dict(self.orders)
        notes, names = dict(self._notes), dict(self._op_names)
        try:
            yield
        except failure:
            del self.ops[ops:]
            self.tensors, self.derived_from, self.orders = tensors, derived, orders
            self._notes, self._op_names = notes, names
            raise

    def freeze(
        self,
        name: str,
        inputs: Iterable[str],
        outputs: Iterable[str],
        source_format: str,
        *,
        keep_unread: bool = False,
    ) -> Graph:
        """Drop weights that nothing reads (unless `keep_unread`), settle roles and validate.

        A weight and a copy derived from it are one parameter: where all its sources are read too, the copy is a buffer.
        Parts of a weight are parameters until they add up to it.

        Raises
        ------
        ModelFileError
            An op reads a tensor that nothing makes, or another invariant of a graph is broken.
        """
        inputs, outputs = tuple(inputs), tuple(outputs)
        read = {t for op in self.ops for t in op.inputs} | set(outputs)
        written = {t for op in self.ops for t in op.outputs} | set(inputs)
        kept = {t: spec for t, spec in self.tensors.items() if keep_unread or t in read or t in written}
        uncounted = dict.fromkeys((t for t in read if t not in self.derived_from), 0)
        for derived, sources in self.derived_from.items():
            if derived not in kept or kept[derived].role is not TensorRole.PARAMETER:
                continue
            roots, numel = self._roots(sources), kept[derived].numel
            if roots and all(root in uncounted for root in roots) and numel > sum(uncounted[root] for root in roots):
                kept[derived] = replace(kept[derived], role=TensorRole.BUFFER)
            for root in roots:
                uncounted[root] = max(uncounted.get(root, self.tensors[root].numel) - numel, 0)
        graph = Graph(
            name=name,
            tensors=kept,
            inputs=inputs,
            outputs=outputs,
            ops=tuple(self.ops),
            notes=tuple(self._notes),
            source_format=source_format,
        )
        try:
            return validate(graph)
        except GraphError as error:
            raise ModelFileError(
                f"the model in the file contradicts itself: {error.what}", where=error.where, expected=error.expected
            ) from error

    def _roots(self, names: Iterable[str]) -> set[str]:
        """Find the stored weights that derived ones come from."""
        roots: set[str] = set()
        pending = [*names]
        while pending:
            current = pending.pop()
            sources = self.derived_from.get(current)
            if sources is None or current in sources:
                roots.add(current)
            else:
                pending.extend(sources)
        return {root for root in roots if root in self.tensors and self.tensors[root].role is TensorRole.PARAMETER}
