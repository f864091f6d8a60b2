"""Record a torch module's forward pass as a `Graph`, without data.

The module runs once, in eval mode, on meta tensors, under a dispatch mode. In inference mode torch leaves composite
operators whole (``linear``, ``layer_norm``, ``scaled_dot_product_attention``, ``lstm`` …), so the record is at the
level at which people count and runtimes fuse. Real tensors met on the way (buffers, constants made on the fly) are
computed for real as long as they stay among themselves, which keeps ``.tolist()`` and data-dependent indexing of
constants working; they turn into meta tensors where they meet the data.

Shapes of pure operators are remembered (`shape_memo`): torch's own meta kernels are nine tenths of the time otherwise.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as module_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from estimator.errors import TraceError
from estimator.frontends.aten import OperatorPlan, plan_of, recorded_outputs
from estimator.frontends.aten_call import Call
from estimator.frontends.aten_quantised import PackedWeight, unpack
from estimator.frontends.call_spelling import SPELT, spelt_source
from estimator.frontends.meta_autocast import AutocastRegions, meta_autocast
from estimator.frontends.shape_memo import remembered_result
from estimator.frontends.tensor_book import TensorBook, flat_tensors
from estimator.frontends.timm_norms import fast_norms, norm_attrs
from estimator.ir.graph import Graph, ModuleCall, ModuleSpec
from estimator.ir.op import FunctionAttrs, Op, OpKind
from estimator.ir.tensor import TensorRole

_NO_KWARGS: dict[str, Any] = {}


def record_module(
    module: torch.nn.Module,
    example_inputs: Sequence[Any] = (),
    *,
    name: str,
    example_kwargs: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    channels_last: bool = False,
    real_constants: bool = False,
) -> Graph:
    """Run a module once and return what it did.

    Parameters
    ----------
    module : torch.nn.Module
        On any device; its parameters are never read unless the inputs are real tensors.
    example_inputs : sequence
        Positional arguments of ``forward``. Meta tensors: nothing is computed. Real tensors: everything is, which
        models with data-dependent shapes need.
    example_kwargs : mapping, optional
        Keyword arguments of ``forward``.
    notes : tuple of str
        Put into the graph.
    channels_last : bool
        Trace as if ``module.to(memory_format=torch.channels_last)`` had been called; the module itself stays.
    real_constants : bool
        Compute what the model makes from numbers alone (``torch.ones(…, device=x.device).all()``) although its inputs
        are meta: slower, but code that asks such masks for their values then runs.

    Returns
    -------
    Graph
        In execution order, with the module tree and the module calls.

    Raises
    ------
    TraceError
        The module raised; the message carries the module path and the cause.
    """
    graph, _ = run_recorded(
        module,
        example_inputs,
        name=name,
        example_kwargs=example_kwargs,
        notes=notes,
        channels_last=channels_last,
        real_constants=real_constants,
    )
    return graph


def run_recorded(
    module: torch.nn.Module,
    example_inputs: Sequence[Any] = (),
    *,
    name: str,
    example_kwargs: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    channels_last: bool = False,
    real_constants: bool = False,
) -> tuple[Graph, Any]:
    """Do what `record_module` does, and hand out what ``forward`` returned as well."""
    kwargs = dict(example_kwargs or {})
    training = [child for child in module.modules() if child.training]
    for child in training:
        child.training = False
    recorder = _Recorder(module, tuple(example_inputs), kwargs, channels_last, real_constants)
    try:
        with ExitStack() as stack:
            stack.callback(module_hooks.register_module_forward_pre_hook(recorder.enter_module).remove)
            stack.callback(module_hooks.register_module_forward_hook(recorder.leave_module).remove)
            # The fused encoder layer exists on the CPU alone and hides its products from every counter.
            stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
            torch.backends.mha.set_fastpath_enabled(False)
            recorder.autocast = stack.enter_context(meta_autocast())
            stack.enter_context(torch.inference_mode())
            stack.enter_context(recorder)
            result = module(*example_inputs, **kwargs)
    except TraceError:
        raise
    except Exception as error:
        raise TraceError(
            f"{name} could not be traced: {_first_line(error)}",
            where=f"module {recorder.scope or '(root)'} of {type(module).__name__}",
            expected="inputs that the model's forward accepts",
            hint="check --input-shape; a model with data-dependent shapes needs real tensors",
        ) from error
    finally:
        for child in training:
            child.training = True
    return recorder.finish(name, result, notes), result


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300] if text else ''}"


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Collects ops while the module runs."""

    def __init__(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any],
        channels_last: bool, real_constants: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self._real_constants = real_constants
        self._is_meta = all(t.is_meta for t in flat_tensors((args, kwargs)))
        self.book = TensorBook(self._is_meta, channels_last)
        self.ops: list[Op] = []
        self.calls: list[ModuleCall] = []
        self.scope = ""
        self._fast_norms = fast_norms(module)
        self.autocast = AutocastRegions()
        self._entered: list[tuple[torch.nn.Module, str | None, str, tuple[str, ...]]] = []
        self._counter: dict[str, int] = {}
        self._path_of: dict[int, str] = {}
        self._modules: list[ModuleSpec] = []
        self._register_modules(module)
        self._inputs = self._register_inputs(module, args, kwargs)

    # ---------------------------------------------------------------- registration
    def _register_modules(self, root: torch.nn.Module) -> None:
        for path, module in root.named_modules():
            self._path_of[id(module)] = path
            prefix = f"{path}." if path else ""
            parameters = self._register_owned(prefix, module._parameters, TensorRole.PARAMETER)
            buffers = self._register_owned(prefix, module._buffers, TensorRole.BUFFER)
            cls = type(module)
            self._modules.append(ModuleSpec(path, f"{cls.__module__}.{cls.__qualname__}", parameters, buffers))

    def _register_owned(self, prefix: str, owned: Mapping[str, Tensor | None], role: TensorRole) -> tuple[str, ...]:
        present = ((key, tensor) for key, tensor in owned.items() if tensor is not None)
        return tuple([self.book.add_weight(prefix + key, tensor, role) for key, tensor in present])

    def _register_inputs(
        self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[str, ...]:
        named = list(zip(_argument_names(module, len(args)), args, strict=True))
        names = []
        for key, value in (*named, *kwargs.items()):
            tensors = list(flat_tensors(value))
            for i, tensor in enumerate(tensors):
                label = key if len(tensors) == 1 else f"{key}.{i}"
                names.append(self.book.add(self.book.unused(label), tensor, TensorRole.INPUT))
        return tuple(names)

    # ---------------------------------------------------------------- module hooks
    def enter_module(self, module: torch.nn.Module, args: Any) -> None:
        """Global forward-pre hook."""
        path = self._path_of.get(id(module))
        self._entered.append((module, path, self.scope, self.book.known_names(args)))
        if path is not None:
            self.scope = path

    def leave_module(self, module: torch.nn.Module, args: Any, result: Any) -> None:
        """Global forward hook."""
        entered = self._entered
        while entered:  # a module left by an exception never came here: skip past it
            known, path, self.scope, inputs = entered.pop()
            if known is module:
                if path is not None:
                    self.calls.append(ModuleCall(path, inputs, self.book.known_names(result)))
                return

    # ---------------------------------------------------------------- operators
    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operator and record it."""
        plan = plan_of(operator)
        kwargs = kwargs or _NO_KWARGS
        tensors = _tensors_of(args)
        if kwargs:
            tensors += _tensors_of(tuple(kwargs.values()))
        if self.book.must_swap(tensors):
            args = self.book.swap(args)
            kwargs = {key: self.book.swap(value) for key, value in kwargs.items()}
            tensors = _tensors_of((*args, *kwargs.values()))
        if plan.decomposes:
            with self:
                outcome = operator.decompose(*args, **kwargs)
            if outcome is not NotImplemented:
                return outcome
        result = self._execute(operator, plan, args, kwargs, tensors)
        if isinstance(result, Tensor):
            outputs: tuple[Tensor, ...] = (result,)
        elif isinstance(result, (tuple, list)):
            outputs = tuple(t for t in result if isinstance(t, Tensor))
        else:
            outputs = ()
        if not outputs:
            return result
        if result is (tensors[0] if tensors else None) and not plan.in_place:
            if not plan.is_identity:
                return result  # ``contiguous`` of the contiguous, ``to`` of the same type: nothing happened
            result = torch.ops.aten.alias(result)
            outputs = (result,)
        self._record(plan, args, kwargs, tensors, outputs)
        return result

    def _execute(
        self, operator: Any, plan: OperatorPlan, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]
    ) -> Any:
        """Find the result of an operator: by what is known of it, else by calling it."""
        if self._real_constants:
            if plan.creates:
                return operator(*args, **{**kwargs, "device": "cpu"})
            if tensors and not tensors[0].is_meta:  # ``mask.to(x.device)`` stays where its values are
                args, kwargs = _off_meta(args), dict(zip(kwargs, _off_meta(tuple(kwargs.values())), strict=True))
        if not (self._is_meta and tensors and tensors[0].is_meta):
            return operator(*args, **kwargs)
        if plan.keeps_metadata:
            return args[0]
        if not plan.is_pure:
            return operator(*args, **kwargs)
        return remembered_result(operator, args, kwargs)

    def _record(
        self, plan: OperatorPlan, args: tuple[Any, ...], kwargs: dict[str, Any],
        tensors: list[Tensor], outputs: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        aliased = bool(plan.may_view and tensors and torch._C._is_alias_of(tensors[0], outputs[0]))
        bound = plan.bind(args, kwargs)
        if plan.is_quantised:
            bound = tuple(self._opened(arg) if isinstance(arg, torch.ScriptObject) else arg for arg in bound)
        call = Call(plan.name, plan.overload, bound, tensors, outputs, aliased)
        try:
            kind, read, attrs = plan.map(call)
        except (IndexError, TypeError, ValueError, KeyError, AttributeError, StopIteration) as error:
            raise TraceError(
                f"{plan.source} was called in a form that is not understood",
                where=f"module {self.scope or '(root)'}: {_first_line(error)}",
            ) from error
        if not read and kind not in (OpKind.FILL, OpKind.UNKNOWN):  # of Python numbers alone
            kind, attrs = OpKind.FILL, FunctionAttrs(plan.name)
        attrs = self.autocast.attrs(norm_attrs(attrs, self.scope, self._fast_norms))
        inputs = tuple([self.book.name(t) for t in read])
        base = plan.name + "_" if plan.in_place else plan.name
        op_name = self._op_name(base)
        outputs = recorded_outputs(kind, outputs)
        names: tuple[str, ...]
        if len(outputs) == 1:
            names = (self.book.add(op_name, outputs[0], TensorRole.ACTIVATION),)
        else:
            names = tuple(self.book.add(f"{op_name}.{i}", t, TensorRole.ACTIVATION) for i, t in enumerate(outputs))
        source = plan.source
        if plan.name in SPELT and not plan.in_place:
            source = spelt_source(plan.name, source)
        self.ops.append(Op(op_name, kind, inputs, names, attrs, self.scope, source, plan.in_place))

    def _opened(self, packed: torch.ScriptObject) -> PackedWeight | None:
        """Open a quantised module's packed weight and list its tensors as that module's parameters."""
        opened = unpack(packed)
        if opened is None:
            return None
        prefix = f"{self.scope}." if self.scope else ""
        for key, tensor in (("weight", opened.weight), ("bias", opened.bias)):
            if tensor is None:
                continue
            if prefix + key in self.book.specs:
                self.book.remember(tensor, prefix + key)
            else:
                self.book.add(prefix + key, tensor, TensorRole.PARAMETER)
        return opened

    def _op_name(self, base: str) -> str:
        counter = self._counter
        while True:
            count = counter[base] = counter.get(base, -1) + 1
            name = f"{base}_{count}" if count else base
            if name not in self.book.specs:
                return name

    # ---------------------------------------------------------------- result
    def finish(self, name: str, result: Any, notes: tuple[str, ...]) -> Graph:
        """Assemble the graph."""
        outputs = tuple(dict.fromkeys(self.book.name(t) for t in flat_tensors(result)))
        return Graph(
            name=name,
            tensors=self.book.specs,
            inputs=self._inputs,
            outputs=outputs,
            ops=tuple(self.ops),
            modules=tuple(self._modules),
            module_calls=tuple(self.calls),
            notes=notes,
            source_format="torch",
        )


def _argument_names(module: torch.nn.Module, count: int) -> list[str]:
    """Names of the positional arguments of ``forward``; ``*inputs`` gives inputs.0 and so on."""
    names: list[str] = []
    try:
        parameters = list(inspect.signature(module.forward).parameters.values())
    except (TypeError, ValueError):  # a forward written in C
        parameters = []
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}.{i}" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    names += [f"input_{i}" for i in range(len(names), count)]
    return names[:count]


def _off_meta(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple("cpu" if isinstance(a, torch.device) and a.type == "meta" else a for a in args)


def _tensors_of(args: tuple[Any, ...]) -> list[Tensor]:
    found: list[Tensor] = []
    for arg in args:
        if isinstance(arg, Tensor):
            found.append(arg)
        elif isinstance(arg, (list, tuple)):
            found += [a for a in arg if isinstance(a, Tensor)]
    return found
