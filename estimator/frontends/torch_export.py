"""The reference front-end: a module through ``torch.export`` (non-strict, on meta tensors).

Ten to fifty times slower than the recorder and stricter about what a model may do; it exists because an exported
program is torch's own statement of what runs. Tests prove that both front-ends give the same ops.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from estimator.errors import TraceError
from estimator.frontends.aten import DTYPES, QUANTISED_DTYPES, OperatorPlan, plan_of, recorded_outputs
from estimator.frontends.aten_call import Call
from estimator.frontends.meta_autocast import meta_autocast
from estimator.frontends.timm_norms import fast_norms, norm_attrs
from estimator.ir.graph import Graph, ModuleSpec
from estimator.ir.op import Op
from estimator.ir.tensor import TensorRole, TensorSpec


def export_module(
    module: torch.nn.Module,
    example_inputs: Sequence[Any] = (),
    *,
    name: str,
    example_kwargs: Mapping[str, Any] | None = None,
) -> Graph:
    """Export a module and translate the program.

    Parameters
    ----------
    module : torch.nn.Module
        In eval mode or not; it is exported in eval mode, best on the meta device.
    example_inputs, example_kwargs
        Arguments of ``forward``, on the module's device.

    Returns
    -------
    Graph
        The same ops as `torch_recorder.record_module`; without module calls, which a program does not keep.

    Raises
    ------
    TraceError
        ``torch.export`` refused the module.
    """
    was_training = module.training
    module.eval()
    try:
        with meta_autocast(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on how to write an exportable model; it was exported
            program = torch.export.export(module, tuple(example_inputs), dict(example_kwargs or {}), strict=False)
    except Exception as error:  # torch.export raises whatever the model or its own passes raise
        first = (str(error).strip().splitlines() or [""])[0]
        raise TraceError(
            f"{name} could not be exported: {type(error).__name__}: {first[:300]}", where=type(module).__name__
        ) from error
    finally:
        module.train(was_training)
    return graph_of_program(program, name, module)


def graph_of_program(program: Any, name: str, module: torch.nn.Module | None = None) -> Graph:
    """Translate an ``ExportedProgram``, with the fast norms of the module that it was exported from, if any."""
    translation = _Translation(program, frozenset() if module is None else fast_norms(module))
    for node in program.graph.nodes:
        translation.read(node)
    return Graph(
        name=name,
        tensors=translation.tensors,
        inputs=tuple(translation.inputs),
        outputs=tuple(dict.fromkeys(translation.outputs)),
        ops=tuple(translation.ops),
        modules=() if module is None else _modules(module, translation.tensors),
        source_format="torch-export",
    )


class _Value:
    """A tensor of the program: the fake tensor's metadata under a name."""

    __slots__ = ("dtype", "fake", "name", "shape")

    def __init__(self, fake: torch.Tensor, name: str) -> None:
        self.fake = fake
        self.name = name
        self.shape = tuple(int(s) for s in fake.shape)
        self.dtype = fake.dtype

    def stride(self) -> tuple[int, ...]:
        """Element strides."""
        return tuple(int(s) for s in self.fake.stride())


class _Translation:
    """Walks the nodes of a program in order."""

    def __init__(self, program: Any, fast_norms: frozenset[str]) -> None:
        self._fast_norms = fast_norms
        self.tensors: dict[str, TensorSpec] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.ops: list[Op] = []
        self._value_of: dict[Any, Any] = {}
        signature = program.graph_signature
        self._weights: dict[str, tuple[str, TensorRole]] = {
            **{k: (v, TensorRole.PARAMETER) for k, v in signature.inputs_to_parameters.items()},
            **{k: (v, TensorRole.BUFFER) for k, v in signature.inputs_to_buffers.items()},
            **{k: (v, TensorRole.CONSTANT) for k, v in signature.inputs_to_lifted_tensor_constants.items()},
        }
        self._add_unused_weights(program)

    def _add_unused_weights(self, program: Any) -> None:
        for key, parameter in program.state_dict.items():
            role = TensorRole.PARAMETER if isinstance(parameter, torch.nn.Parameter) else TensorRole.BUFFER
            self._add(key, parameter, role)

    def _add(self, name: str, tensor: torch.Tensor, role: TensorRole) -> str:
        shape = tuple(int(extent) for extent in tensor.shape)
        strides = None if tensor.is_contiguous() else tuple(int(s) for s in tensor.stride())
        quantised = tensor.dtype in QUANTISED_DTYPES
        self.tensors[name] = TensorSpec(name, shape, DTYPES[tensor.dtype], role, quantised, strides)
        return name

    def read(self, node: Any) -> None:
        """Translate one node."""
        if node.op == "placeholder":
            self._read_placeholder(node)
        elif node.op == "output":
            flat = torch.utils._pytree.tree_leaves(node.args[0])
            self.outputs = [self._value_of[n].name for n in flat if isinstance(self._value_of.get(n), _Value)]
        elif node.op == "call_function":
            self._read_call(node)

    def _read_placeholder(self, node: Any) -> None:
        fake = node.meta.get("val")
        if not isinstance(fake, torch.Tensor):
            return
        if node.name in self._weights:
            name, role = self._weights[node.name]
            if name not in self.tensors:
                self._add(name, fake, role)
        else:
            name = self._add(node.name, fake, TensorRole.INPUT)
            self.inputs.append(name)
        self._value_of[node] = _Value(fake, name)

    def _read_call(self, node: Any) -> None:
        if node.target is operator.getitem:
            source = self._value_of.get(node.args[0])
            if isinstance(source, (tuple, list)):
                self._value_of[node] = source[node.args[1]]
            return
        if not isinstance(node.target, torch._ops.OpOverload):
            return
        plan = plan_of(node.target)
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        fakes = node.meta.get("val")
        if isinstance(fakes, torch.Tensor):
            single = True
            fakes = (fakes,)
        elif isinstance(fakes, (tuple, list)):
            single = False
        else:
            return
        tensors = _values(args) + _values(tuple(kwargs.values()))
        if _is_nothing(plan, tensors, fakes):
            self._value_of[node] = tensors[0]
            return
        outputs = tuple(_Value(f, node.name if single else f"{node.name}.{i}") for i, f in enumerate(fakes))
        self._value_of[node] = outputs[0] if single else outputs
        self._record(node, plan, args, kwargs, tensors, outputs)
        if plan.in_place:  # later readers of the overwritten tensor read the result
            for key, value in self._value_of.items():
                if value is tensors[0]:
                    self._value_of[key] = outputs[0]

    def _record(
        self, node: Any, plan: OperatorPlan, args: tuple[Any, ...], kwargs: dict[str, Any],
        tensors: list[_Value], outputs: tuple[_Value, ...],
    ) -> None:  # fmt: skip
        aliased = bool(plan.may_view and tensors and _shares_storage(tensors[0].fake, outputs[0].fake))
        mapped = plan.map(Call(plan.name, plan.overload, plan.bind(args, kwargs), tensors, outputs, aliased))
        kept = recorded_outputs(mapped.kind, outputs)
        for value in kept:
            self._add(value.name, value.fake, TensorRole.ACTIVATION)
        inputs = tuple(value.name for value in mapped.tensors if isinstance(value, _Value))
        names = tuple(value.name for value in kept)
        scope = _scope(node)
        attrs = norm_attrs(mapped.attrs, scope, self._fast_norms)
        self.ops.append(Op(node.name, mapped.kind, inputs, names, attrs, scope, plan.source, plan.in_place))

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, torch.fx.Node):
            return self._value_of.get(value, value.meta.get("val"))
        if isinstance(value, Mapping):
            return {k: self._resolve(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            resolved = [self._resolve(v) for v in value]
            return tuple(resolved) if isinstance(value, tuple) else resolved
        return value


def _values(args: tuple[Any, ...]) -> list[_Value]:
    found: list[_Value] = []
    for arg in args:
        if isinstance(arg, _Value):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [a for a in arg if isinstance(a, _Value)]
    return found


def _is_nothing(plan: OperatorPlan, tensors: list[_Value], fakes: Sequence[torch.Tensor]) -> bool:
    """``contiguous`` of the contiguous, ``to`` of the same type: eager returns its argument, nothing runs."""
    if plan.name not in ("contiguous", "to", "type_as") or not tensors:
        return False
    before, after = tensors[0].fake, fakes[0]
    return before.dtype == after.dtype and before.stride() == after.stride() and _shares_storage(before, after)


def _shares_storage(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(a.untyped_storage()._cdata == b.untyped_storage()._cdata)


def _scope(node: Any) -> str:
    """Path of the innermost module."""
    stack = node.meta.get("nn_module_stack") or {}
    path = ""
    for path, _ in stack.values():  # noqa: B007  (the last one counts)
        pass
    return str(path).removeprefix("L['self'].").removeprefix("L['self']")


def _modules(root: torch.nn.Module, tensors: Mapping[str, TensorSpec]) -> tuple[ModuleSpec, ...]:
    first_name: dict[int, str] = {}
    found = []
    for path, module in root.named_modules():
        prefix = f"{path}." if path else ""

        def own(owned: Mapping[str, torch.Tensor | None], prefix: str = prefix) -> tuple[str, ...]:
            names = (first_name.setdefault(id(t), prefix + key) for key, t in owned.items() if t is not None)
            return tuple(name for name in names if name in tensors)

        cls = type(module)
        parameters, buffers = own(module._parameters), own(module._buffers)
        found.append(ModuleSpec(path, f"{cls.__module__}.{cls.__qualname__}", parameters, buffers))
    return tuple(found)
