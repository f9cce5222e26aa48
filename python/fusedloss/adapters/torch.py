"""PyTorch: every loss as a function of CPU tensors and as a module, with the names and arguments that PyTorch has.

``import fusedloss.adapters.torch as F`` runs code written for ``torch.nn.functional``: losses come from here, all else
from there, and so do the few cases that only PyTorch can do (gradients in the targets of a cross entropy, a weight for
every score of a row). Losses that PyTorch does not have are called as in `fusedloss`; their modules have the same names
in CamelCase. Tensors are neither copied on their way in nor gradients on their way out; the gradient is computed along
with the value. `bfloat16` needs ml_dtypes.

Examples
--------
>>> import torch
>>> import fusedloss.adapters.torch as F
>>> x = torch.tensor([0.5, -1.0], requires_grad=True)
>>> F.huber_loss(x, torch.zeros(2), delta=0.5).backward()
>>> x.grad
tensor([ 0.2500, -0.2500])
"""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch

from .._loss import Loss, losses

# What `torch.nn.functional` does otherwise unless told.
_AS_TORCH: dict[str, dict[str, Any]] = {"binary_cross_entropy": {"log_clamp": 100.0}}
_MODULE_NAMES = {
    "l1_loss": "L1Loss",
    "mse_loss": "MSELoss",
    "nll_loss": "NLLLoss",
    "kl_div": "KLDivLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "cross_entropy": "CrossEntropyLoss",
    "smooth_l1_loss": "SmoothL1Loss",
    "poisson_nll_loss": "PoissonNLLLoss",
    "gaussian_nll_loss": "GaussianNLLLoss",
    "multilabel_margin_loss": "MultiLabelMarginLoss",
    "multilabel_soft_margin_loss": "MultiLabelSoftMarginLoss",
}
_LEGACY = ("size_average", "reduce")


# ---- tensors and arrays ---------------------------------------------------------------------------


def _array_of(tensor: Any) -> Any:
    """The memory of a tensor as an array."""
    if tensor.dtype is torch.bfloat16:
        return tensor.detach().view(torch.int16).numpy().view(import_module("ml_dtypes").bfloat16)
    return tensor.numpy(force=True)


def _tensor_of(array: Any) -> Any:
    """The memory of an array as a tensor."""
    if array.dtype.kind == "V":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


class _Call:
    """A loss with its parameters, and what the tensors of a call are to it: first the data, then options by name.

    The tensors of an argument that is a list are named ``argument.0``, ``argument.1``, ...
    """

    def __init__(self, loss: Loss[Any], names: tuple[str, ...], wrt: tuple[str, ...]) -> None:
        self.loss, self.names, self.wrt = loss, names, wrt
        self.unreduced = loss._chosen_reduction == "none"  # a value per term
        # The arguments that the gradients belong to.
        self.arguments_wrt = tuple(dict.fromkeys(name.partition(".")[0] for name in wrt))
        # Where tensors stand: a number, or several of a list.
        self._places: dict[str, Any] = {}
        for k, name in enumerate(names):
            argument, listed, _ = name.partition(".")
            if listed:
                self._places.setdefault(argument, []).append(k)
            else:
                self._places[argument] = k
        self._data = tuple(self._places.pop(name) for name in _data_names(loss))
        options = set(self._places.values())
        self._data_places = tuple(k for k in range(len(names)) if k not in options)
        self.wrt_places = tuple(map(names.index, wrt))

    def arguments(self, tensors: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of the loss."""
        arrays = [_array_of(tensor) if isinstance(tensor, torch.Tensor) else tensor for tensor in tensors]
        data = [[arrays[k] for k in place] if isinstance(place, list) else arrays[place] for place in self._data]
        options = {name: arrays[place] for name, place in self._places.items()}
        options["n_threads"] = torch.get_num_threads()
        return data, options

    def value(self, value: Any, tensors: Sequence[Any]) -> Any:
        """What the loss gives, as a tensor."""
        if isinstance(value, np.ndarray):
            return _tensor_of(value)
        return torch.scalar_tensor(value, dtype=self.dtype(tensors))

    def dtype(self, tensors: Sequence[Any]) -> Any:
        """The dtype of the value: what the floating data have in common."""
        dtypes = [tensors[k].dtype for k in self._data_places]
        floating = {dtype for dtype in dtypes if dtype.is_floating_point}
        return functools.reduce(torch.promote_types, floating) if floating else torch.float64

    def run(self, tensors: Sequence[Any]) -> Any:
        """The value."""
        data, options = self.arguments(tensors)
        return self.value(self.loss(*data, **options), tensors)

    def value_and_grads(self, tensors: Sequence[Any]) -> list[Any]:
        """The value and then the gradients, in new tensors."""
        data, options = self.arguments(tensors)
        if self.arguments_wrt == self.wrt:
            grads, options["out"] = self._new_gradients(tensors)
            value, _ = self.loss.value_and_grad(*data, wrt=self.wrt, **options)
        else:
            value, arrays = self.loss.value_and_grad(*data, wrt=self.arguments_wrt, **options)
            grads = self._chosen(arrays)
        return [self.value(value, tensors), *grads]

    def backward(self, cotangent: Any, tensors: Sequence[Any]) -> list[Any]:
        """The gradients of the sum of cotangents times unreduced values."""
        data, options = self.arguments(tensors)
        if self.arguments_wrt == self.wrt:
            grads, options["out"] = self._new_gradients(tensors)
            self.loss.backward(_array_of(cotangent), *data, wrt=self.wrt, **options)
        else:
            grads = self._chosen(self.loss.backward(_array_of(cotangent), *data, wrt=self.arguments_wrt, **options))
        return grads

    def _new_gradients(self, tensors: Sequence[Any]) -> tuple[list[Any], tuple[Any, ...]]:
        grads = self.like_gradients(tensors)
        return grads, tuple(map(_array_of, grads))

    def like_gradients(self, tensors: Sequence[Any]) -> list[Any]:
        """Tensors for the gradients."""
        return [torch.empty_like(tensors[k]) for k in self.wrt_places]

    def _chosen(self, arrays: Any) -> list[Any]:
        """Of the gradients in arguments those that are wanted."""
        by_name: dict[str, Any] = {}
        arguments = self.arguments_wrt
        for name, array in zip(arguments, (arrays,) if len(arguments) == 1 else arrays, strict=True):
            by_name |= {f"{name}.{k}": a for k, a in enumerate(array)} if isinstance(array, tuple) else {name: array}
        return [_tensor_of(by_name[name]) for name in self.wrt]

    def spread(self, grads: Sequence[Any]) -> list[Any]:
        """Gradients in the places of their tensors."""
        spread: list[Any] = [None] * len(self.names)
        for k, grad in zip(self.wrt_places, grads, strict=True):
            spread[k] = grad
        return spread


@functools.lru_cache(maxsize=1024)
def _call_of(text: str) -> _Call:
    """The call that `_text_of` described."""
    name, names, wrt, constants = json.loads(text)
    loss = Loss.registry[name]
    return _Call(loss.bind(**constants) if constants else loss, tuple(names), tuple(wrt))


@functools.lru_cache(maxsize=1024)
def _described(
    name: str, names: tuple[str, ...], wrt: tuple[str, ...], constants: tuple[tuple[str, Any], ...]
) -> _Call:
    """The same call as by way of its text, sooner."""
    return _call_of(_text_of(name, names, wrt, constants))


@torch.compiler.assume_constant_result
def _text_of(name: str, names: tuple[str, ...], wrt: tuple[str, ...], constants: tuple[tuple[str, Any], ...]) -> str:
    """A call in the only type for constants that operators of PyTorch and our cache both take."""
    return json.dumps((name, names, wrt, dict(constants)), default=lambda value: value.tolist())


# ---- autograd -------------------------------------------------------------------------------------


def _final(grads: Sequence[Any]) -> Sequence[Any]:
    """Gradients that say so when they are differentiated in turn."""
    # The functional transforms always keep the graph, and let nobody mark tensors.
    if not torch.is_grad_enabled() or torch._C._functorch.peek_interpreter_stack() is not None:
        return grads
    # `once_differentiable` does this where the cotangent requires a gradient; else it would count as a constant.
    refuse = torch._C._functions.DelayedError(b"fusedloss: losses can be differentiated once", len(grads))
    refused = refuse(*(grad.detach().requires_grad_() for grad in grads))
    return refused if len(grads) > 1 else (refused,)


def _apply_to(function: Any, *args: Any) -> Any:
    """``function.apply``, which binds a signature first that only the functional transforms may need."""
    if torch._C._are_functorch_transforms_active():
        return function.apply(*args)
    return super(torch.autograd.Function, function).apply(*torch._functorch.utils.unwrap_dead_wrappers(args))


class _Reduced(torch.autograd.Function):
    """A mean or a sum, whose gradients are computed along with it."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        return tuple(call.value_and_grads(tensors))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        ctx.call, *tensors = inputs
        # Gradients of leaves may be added to in place, so they must not be those that are kept.
        ctx.leaves = [tensors[k].is_leaf for k in ctx.call.wrt_places]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*output[1:])

    @staticmethod
    def backward(ctx: Any, cotangent: Any, *_: Any) -> Any:
        unit = cotangent.item() == 1.0
        grads = [
            grad if unit and not leaf else grad * cotangent.to(grad.dtype)
            for grad, leaf in zip(ctx.saved_tensors, ctx.leaves, strict=True)
        ]
        return (None, *ctx.call.spread(_final(grads)))


class _Unreduced(torch.autograd.Function):
    """One value per term: gradients need to know the cotangent."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        return call.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        return (None, *ctx.call.spread(_final(ctx.call.backward(cotangent, ctx.saved_tensors))))


# ---- torch.compile: the same as operators ---------------------------------------------------------


@torch.library.custom_op("fusedloss::value_and_grads", mutates_args=(), device_types="cpu")
def _value_and_grads(tensors: Sequence[torch.Tensor], call: str) -> list[torch.Tensor]:
    return _call_of(call).value_and_grads(tensors)


@_value_and_grads.register_fake
def _(tensors: Sequence[Any], call: str) -> list[Any]:
    known = _call_of(call)
    value = tensors[0].new_empty((), dtype=known.dtype(tensors))
    return [value, *known.like_gradients(tensors)]


def _keep_grads(ctx: Any, inputs: tuple[Any, ...], output: Sequence[Any]) -> None:
    ctx.call = inputs[1]
    ctx.save_for_backward(*output[1:])


def _scale_grads(ctx: Any, cotangents: Sequence[Any]) -> Any:
    grads = [grad * cotangents[0].to(grad.dtype) for grad in ctx.saved_tensors]
    return _call_of(ctx.call).spread(grads), None


_value_and_grads.register_autograd(_scale_grads, setup_context=_keep_grads)


@torch.library.custom_op("fusedloss::value", mutates_args=(), device_types="cpu")
def _value(tensors: Sequence[torch.Tensor], call: str) -> torch.Tensor:
    return _call_of(call).run(tensors)


@_value.register_fake
def _(tensors: Sequence[Any], call: str) -> Any:
    known = _call_of(call)
    return tensors[0].new_empty(_value_shape(known, tensors), dtype=known.dtype(tensors))


def _value_shape(call: _Call, tensors: Sequence[Any]) -> Sequence[Any]:
    """The shape of the unreduced loss."""
    first = tensors[0].shape
    if not call.unreduced:
        return ()
    if call.loss.family == "elementwise":
        return list(first)
    if call.loss.family == "rows":
        axis = call.loss.params.get("axis")
        axis = int(len(first) > 1) if axis is None else axis % len(first)
        return [*first[:axis], *first[axis + 1 :]]
    # Not in tensors, which hold no data here.
    types = [str(tensor.dtype).removeprefix("torch.").replace("bfloat16", "float32") for tensor in tensors]
    zeros = [np.zeros([int(n) for n in t.shape], dtype) for t, dtype in zip(tensors, types, strict=True)]
    data, options = call.arguments(zeros)
    return list(np.shape(call.loss(*data, **options)))


@torch.library.custom_op("fusedloss::backward", mutates_args=(), device_types="cpu")
def _backward(cotangent: torch.Tensor, tensors: Sequence[torch.Tensor], call: str) -> list[torch.Tensor]:
    return _call_of(call).backward(cotangent, tensors)


@_backward.register_fake
def _(cotangent: Any, tensors: Sequence[Any], call: str) -> list[Any]:
    return _call_of(call).like_gradients(tensors)


def _keep_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    tensors, ctx.call = inputs
    ctx.save_for_backward(*tensors)


def _grads_of_values(ctx: Any, cotangent: Any) -> Any:
    return _call_of(ctx.call).spread(_backward(cotangent, ctx.saved_tensors, ctx.call)), None


_value.register_autograd(_grads_of_values, setup_context=_keep_tensors)


# ---- functions ------------------------------------------------------------------------------------


@functools.cache
def _data_names(loss: Loss[Any]) -> tuple[str, ...]:
    """The arguments that are data rather than options."""
    return tuple(p.name for p in loss._signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)


def _tensors_of(values: Sequence[Any]) -> list[Any]:
    """Data as tensors; a number has the precision of the first of them."""
    tensors: list[Any] = []
    for value in values:
        dtype = tensors[0].dtype if tensors and isinstance(value, float) else None
        tensors.append(value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=dtype))
    return tensors


def _apply(loss: Loss[Any], data: tuple[str, ...], defaults: dict[str, Any], given: dict[str, Any]) -> Any:
    """Run a loss on the arguments of a call, the first of which are data."""
    tensors: dict[str, Any] = {}
    for name in data:
        value = given.pop(name)
        if isinstance(value, (list, tuple)) and value and isinstance(value[0], torch.Tensor):
            tensors.update({f"{name}.{k}": tensor for k, tensor in enumerate(value)})
        else:
            tensors[name] = value
    tensors = dict(zip(tensors, _tensors_of(list(tensors.values())), strict=True))
    constants = {}
    for name, value in given.items():
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        elif value is not None:
            constants[name] = value
    for name, tensor in tensors.items():
        if not tensor.is_cpu:
            raise TypeError(f"{loss.name}: {name} is on device {tensor.device}, expected a tensor on the CPU")
    wrt: tuple[str, ...] = ()
    if torch.is_grad_enabled():
        wrt = tuple(name for name, tensor in tensors.items() if tensor.requires_grad)
        for name in wrt:
            if name.partition(".")[0] not in loss.differentiable:
                raise RuntimeError(f"{loss.name}: {name} requires a gradient, but the loss has none for it")
    description = loss.name, tuple(tensors), wrt, tuple(constants.items())
    unreduced = constants.get("reduction", defaults.get("reduction")) == "none"
    if torch.compiler.is_compiling():
        text = _text_of(*description)
        if wrt and not unreduced:
            return _value_and_grads(list(tensors.values()), text)[0]
        return _value(list(tensors.values()), text)
    try:
        call = _described(*description)
    except TypeError:  # lists and arrays cannot be looked up
        call = _call_of(_text_of(*description))
    if not wrt:
        return call.run(list(tensors.values()))
    if unreduced:
        return _apply_to(_Unreduced, call, *tensors.values())
    return _apply_to(_Reduced, call, *tensors.values())[0]


def _is_beyond(loss: Loss[Any], names: tuple[str, ...], given: dict[str, Any]) -> bool:
    """Whether PyTorch has more: gradients in targets, a weight for every score, a row in odd shapes."""
    data = {name: given[name] for name in names if isinstance(given[name], torch.Tensor)}
    if any(tensor.requires_grad and name not in loss.differentiable for name, tensor in data.items()):
        return torch.is_grad_enabled()
    if loss.family != "rows":
        return False
    weight, scores, target = given.get("weight"), data.get(names[0]), data.get(names[1])
    many = isinstance(weight, torch.Tensor) and weight.dim() > 1
    one_row = scores is not None and target is not None and scores.dim() == 1 and target.shape == (1,)
    return many or one_row or (scores is not None and not scores.dim())


def _as_in_torch(loss: Loss[Any], names: tuple[str, ...], given: dict[str, Any]) -> None:
    """Do what only PyTorch's own functions do with their arguments."""
    legacy = [given.pop(name, None) for name in _LEGACY]
    if legacy != [None, None]:
        given["reduction"] = import_module("torch.nn._reduction").legacy_get_string(*legacy)
    if loss.family != "elementwise":
        return
    first, *others = tensors = _tensors_of([given[name] for name in names])
    if loss.name == "gaussian_nll_loss" and others[1].shape == first.shape[:-1]:
        others[1] = others[1].unsqueeze(-1)
    if any(other.shape != first.shape for other in others):
        if others[0].shape != first.shape:
            warnings.warn(
                f"{loss.name}: {names[0]} has shape {tuple(first.shape)}, {names[1]} {tuple(others[0].shape)}; "
                "to broadcast these to each other is seldom meant",
                stacklevel=4,
            )
        tensors = list(torch.broadcast_tensors(first, *others))
    given.update(zip(names, tensors, strict=True))


def _parameters_in_torch(loss: Loss[Any]) -> dict[str, inspect.Parameter] | None:
    """The parameters of PyTorch's function of the same name; None if it is called in another way."""
    theirs = getattr(torch.nn.functional, loss.name, None)
    if theirs is None:
        return {}
    try:
        known = dict(inspect.signature(theirs).parameters)
    except ValueError:  # a built-in function
        return None
    fits = tuple(known)[: len(_data_names(loss))] == _data_names(loss)
    return known if fits and set(known) <= {*loss._signature.parameters, *_LEGACY} else None


def _function_of(loss: Loss[Any], known: dict[str, inspect.Parameter]) -> Callable[..., Any]:
    """The loss as a function, with the parameters that PyTorch knows where it has them."""
    own = {name: p for name, p in loss._signature.parameters.items() if name not in known}
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in (*known.values(), *own.values())]
    signature = inspect.Signature(sorted(parameters, key=lambda p: p.kind))
    theirs = getattr(torch.nn.functional, loss.name) if known else None
    names = tuple(signature.parameters)
    positional = tuple(p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)
    required = _data_names(loss)
    changed = _AS_TORCH.get(loss.name, {})
    defaults = {p.name: p.default for p in signature.parameters.values() if p.name == "reduction"}
    title = loss.name

    def function(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(positional):
            raise TypeError(f"{title} takes {len(positional)} positional arguments, got {len(args)}")
        given = {**changed, **dict(zip(positional, args, strict=False))}
        for name, value in kwargs.items():
            if name not in names:
                raise TypeError(f"{title} has no argument {name!r}")
            if name in positional[: len(args)]:
                raise TypeError(f"{title} got {name!r} twice")
            given[name] = value
        for name in required:
            if name not in given:
                raise TypeError(f"{title} lacks the argument {name!r}")
        if theirs is not None:
            if _is_beyond(loss, required, given):
                return theirs(*args, **kwargs)
            _as_in_torch(loss, required, given)
        return _apply(loss, required, defaults, given)

    function.__name__ = function.__qualname__ = loss.name
    function.__doc__ = loss.__doc__
    vars(function)["__signature__"] = signature
    return function


# ---- modules --------------------------------------------------------------------------------------


class _LossModule(torch.nn.Module):
    """A loss with its options; called with the data."""

    _options: tuple[inspect.Parameter, ...]
    _function: Callable[..., Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        bound = inspect.Signature(self._options).bind(*args, **kwargs)
        bound.apply_defaults()
        self._plain = []
        for name, value in bound.arguments.items():
            if isinstance(value, torch.Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)
            self._plain.append(name)

    def forward(self, *data: Any, **options: Any) -> Any:
        """The loss of the data; `sample_weight` may be given along."""
        own = {name: getattr(self, name) for name in self._plain}
        return type(self)._function(*data, **{**own, **options})

    def extra_repr(self) -> str:
        defaults = {p.name: p.default for p in self._options}
        values = {name: getattr(self, name) for name in self._plain}
        told = {
            key: value for key, value in values.items() if isinstance(value, torch.Tensor) or value != defaults[key]
        }
        return ", ".join(f"{key}={value!r}" for key, value in told.items())


def _module_of(loss: Loss[Any], function: Any) -> type[_LossModule]:
    name = _MODULE_NAMES.get(loss.name) or "".join(word.capitalize() for word in loss.name.split("_"))
    parameters = [p for p in function.__signature__.parameters.values() if p.name not in _data_names(loss)]
    options = tuple(p for p in parameters if p.name != "sample_weight")
    members = {
        "__doc__": f"`{loss.name}` as a module: called with {', '.join(_data_names(loss))}.\n\n{loss.__doc__}",
        "__module__": __name__,
        "__qualname__": name,
        "__signature__": inspect.Signature(options),
        "_options": options,
        "_function": staticmethod(function),
    }
    return type(name, (_LossModule,), members)


def _make() -> dict[str, Any]:
    made: dict[str, Any] = {}
    for loss in losses():
        known = _parameters_in_torch(loss)
        if known is not None:  # else PyTorch's own stays in its place
            function = _function_of(loss, known)
            module = _module_of(loss, function)
            made |= {loss.name: function, module.__name__: module}
    return made


globals().update(_make())


def __getattr__(name: str) -> Any:
    """What is no loss, from `torch.nn.functional`."""
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(torch.nn.functional, name)
