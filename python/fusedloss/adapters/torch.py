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
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import _core
from .._loss import _GRAD, _REDUCED_ARRAY, _VALUE, Loss, losses

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


def _reader() -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """What gives the arrays of tensors."""
    table = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)  # since PyTorch 2.10
    return _core.tensor_views(table, _array_of) if table else lambda tensors: tuple(map(_array_of, tensors))


_arrays_of = _reader()


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
        alone = loss._template is not None and self._data == tuple(range(len(names)))
        self._prepared = loss._prepared(_VALUE | _GRAD | _REDUCED_ARRAY, wrt) if alone and wrt else None

    def arguments(self, arrays: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments of the loss."""
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
        return _common(*[tensors[k].dtype for k in self._data_places])

    def run(self, tensors: Sequence[Any]) -> Any:
        """The value."""
        data, options = self.arguments(_arrays_of(tensors))
        return self.value(self.loss(*data, **options), tensors)

    def value_and_grads(self, tensors: Sequence[Any]) -> list[Any]:
        """The value and then the gradients, in new tensors."""
        arrays = _arrays_of(tensors)
        out = self._new_gradients(arrays)
        if self._prepared:
            value, grads, _, _ = self._prepared(arrays, None, out, torch.get_num_threads())
            return [self.value(value, tensors), *map(_tensor_of, grads)]
        data, options = self.arguments(arrays)
        value, grads = self.loss.value_and_grad(*data, wrt=self.arguments_wrt, out=out, **options)
        return [self.value(value, tensors), *self._chosen(grads)]

    def backward(self, cotangent: Any, tensors: Sequence[Any]) -> list[Any]:
        """The gradients of the sum of cotangents times unreduced values."""
        arrays = _arrays_of(tensors)
        data, options = self.arguments(arrays)
        out, grad_output = self._new_gradients(arrays), _array_of(cotangent)
        return self._chosen(self.loss.backward(grad_output, *data, wrt=self.arguments_wrt, out=out, **options))

    def _new_gradients(self, arrays: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Arrays for the gradients in the layout of the arguments, where that is not the one of new arrays."""
        if self.arguments_wrt != self.wrt or all([arrays[k].flags.c_contiguous for k in self.wrt_places]):
            return None
        return tuple([np.empty_like(arrays[k]) for k in self.wrt_places])

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


@functools.cache
def _common(*dtypes: Any) -> Any:
    floating = [dtype for dtype in dtypes if dtype.is_floating_point]
    return functools.reduce(torch.promote_types, floating) if floating else torch.float64


@functools.lru_cache(maxsize=1024)
def _call_of(text: str) -> _Call:
    """The call that `_text_of` described."""
    name, names, wrt, constants = json.loads(text)
    loss = Loss.registry[name]
    return _Call(loss.bind(**constants) if constants else loss, tuple(names), tuple(wrt))


@torch.compiler.assume_constant_result
def _text_of(name: str, names: tuple[str, ...], wrt: tuple[str, ...], constants: tuple[tuple[str, Any], ...]) -> str:
    """A call in the only type for constants that operators of PyTorch take."""
    return json.dumps((name, names, wrt, dict(constants)), default=lambda value: value.tolist())


# ---- autograd -------------------------------------------------------------------------------------


_REFUSAL = "fusedloss: losses can be differentiated once"


class _Along(torch.autograd.Function):
    """The gradients are computed along with a mean or a sum, and multiplied by the cotangent when that is known."""

    @staticmethod
    def forward(ctx: Any, call: _Call, *tensors: Any) -> Any:
        value, *grads = call.value_and_grads(tensors)
        ctx.call = call
        ctx.save_for_backward(*grads)
        return value

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        grads = ctx.saved_tensors
        if _keeps_graph():  # and with it what is saved
            grads = [grad * cotangent.to(grad.dtype) for grad in grads]
        elif cotangent.item() != 1.0:
            grads = [grad.mul_(cotangent) for grad in grads]
        if torch.is_grad_enabled():
            # `once_differentiable` does this where the cotangent requires a gradient; else they would be constants.
            refuse = torch._C._functions.DelayedError(_REFUSAL.encode(), len(grads))
            refused = refuse(*(grad.detach().requires_grad_() for grad in grads))
            grads = refused if len(grads) > 1 else (refused,)
        return (None, *ctx.call.spread(grads))


class _Afterwards(torch.autograd.Function):
    """The gradients are computed when the cotangent is known: of one value per term, and in functional transforms."""

    @staticmethod
    def forward(call: _Call, *tensors: Any) -> Any:
        return call.run(tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.call, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, cotangent: Any) -> Any:
        call, tensors = ctx.call, ctx.saved_tensors
        grads = (
            _Gradients.apply(call, cotangent, *tensors)
            if torch.is_grad_enabled()
            else call.backward(cotangent, tensors)
        )
        return (None, *call.spread(grads))


class _Gradients(torch.autograd.Function):
    """The gradients as a function, which has none."""

    @staticmethod
    def forward(call: _Call, cotangent: Any, *tensors: Any) -> Any:
        return tuple(call.backward(cotangent, tensors))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *cotangents: Any) -> Any:
        raise RuntimeError(_REFUSAL)


# Without `Function.apply`, which prepares for the functional transforms first.
_along = super(torch.autograd.Function, _Along).apply
_afterwards = super(torch.autograd.Function, _Afterwards).apply
# Since PyTorch 2.5; that copies are always made is only slower.
_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", lambda: True)


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
    zeros = tuple(np.zeros([int(n) for n in t.shape], dtype) for t, dtype in zip(tensors, types, strict=True))
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


class _Kind(NamedTuple):
    """What must be known of a tensor to know what a call with it is."""

    dtype: Any
    shape: Any
    differentiate: bool
    device: Any


def _kinds(value: Any, differentiate: bool) -> Any:
    """Those of a list of tensors; what is none stands for itself."""
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], torch.Tensor):
        return [_Kind(t.dtype, t.shape, differentiate and t.requires_grad, t.device) for t in value]
    return value


@dataclass(frozen=True, eq=False)
class _Callee:
    """A loss and how it is called here."""

    loss: Loss[Any]
    parameters: tuple[str, ...]
    positional: tuple[str, ...]
    data: tuple[str, ...]
    reduction: str  # unless told
    changed: dict[str, Any]  # other defaults that are not those of the loss
    theirs: Callable[..., Any] | None  # PyTorch's function of this name

    @property
    def broadcasts(self) -> bool:
        return self.theirs is not None and self.loss.family == "elementwise"


@dataclass
class _Reading:
    """What a call is and where its tensors stand: all that does not depend on what they hold."""

    callee: _Callee
    places: dict[str, tuple[int, int | None]]  # of tensors, among all arguments and in a list
    wrt: tuple[str, ...]
    constants: dict[str, Any]
    ready: bool  # tensors are passed on as they are given

    def tensors(self, values: Sequence[Any]) -> list[Any]:
        """Of all arguments those that are passed on as tensors."""
        if self.ready:
            return [values[place] for place, _ in self.places.values()]
        chosen = [values[place] if k is None else values[place][k] for place, k in self.places.values()]
        return _broadcast(self.callee, chosen) if self.callee.broadcasts else _tensors_of(chosen)

    @property
    def unreduced(self) -> bool:
        return bool(self.constants.get("reduction", self.callee.reduction) == "none")

    @property
    def text(self) -> str:
        return _text_of(self.callee.loss.name, tuple(self.places), self.wrt, tuple(self.constants.items()))

    @functools.cached_property
    def call(self) -> _Call:
        return _call_of(self.text)


def _read(callee: _Callee, count: int, keywords: tuple[str, ...], kinds: tuple[Any, ...]) -> _Reading | None:
    """A call with so many positional arguments and these keywords; None if only PyTorch can do it."""
    loss, title, positional = callee.loss, callee.loss.name, callee.positional[:count]
    if len(positional) < count:
        raise TypeError(f"{title} takes {len(positional)} positional arguments, got {count}")
    for name in keywords:
        if name not in callee.parameters:
            raise TypeError(f"{title} has no argument {name!r}")
        if name in positional:
            raise TypeError(f"{title} got {name!r} twice")
    order = (*positional, *keywords)
    for name in callee.data:
        if name not in order:
            raise TypeError(f"{title} lacks the argument {name!r}")
    known = [_Kind(*k) if isinstance(k, tuple) and k and isinstance(k[0], torch.dtype) else k for k in kinds]
    given = {**callee.changed, **dict(zip(order, known, strict=True))}
    if callee.theirs is not None:
        if _is_beyond(callee, given):
            return None
        legacy = [given.pop(name, None) for name in _LEGACY]
        if legacy != [None, None]:
            given["reduction"] = import_module("torch.nn._reduction").legacy_get_string(*legacy)
    places: dict[str, tuple[int, int | None]] = {}
    tensors: dict[str, _Kind] = {}
    constants: dict[str, Any] = {}
    for name in dict.fromkeys((*callee.data, *given)):
        kind = given[name]
        if isinstance(kind, list) and kind and isinstance(kind[0], _Kind):
            places.update({f"{name}.{k}": (order.index(name), k) for k in range(len(kind))})
            tensors.update({f"{name}.{k}": each for k, each in enumerate(kind)})
        elif isinstance(kind, _Kind):
            places[name], tensors[name] = (order.index(name), None), kind
        elif name in callee.data:  # a number, say
            places[name] = order.index(name), None
        elif kind is not None:
            constants[name] = kind
    for name, kind in tensors.items():
        if kind.device.type != "cpu":
            raise TypeError(f"{title}: {name} is on device {kind.device}, expected a tensor on the CPU")
    wrt = tuple(name for name, kind in tensors.items() if kind.differentiate)
    for name in wrt:
        if name.partition(".")[0] not in loss.differentiable:
            raise RuntimeError(f"{title}: {name} requires a gradient, but the loss has none for it")
    ready = len(tensors) == len(places) and all(k is None for _, k in places.values())
    if ready and callee.broadcasts:
        ready = all(tensors[name].shape == tensors[callee.data[0]].shape for name in callee.data)
    return _Reading(callee, places, wrt, constants, ready)


_look_up = functools.lru_cache(maxsize=4096)(_read)


def _read_before(*call: Any) -> _Reading | None:
    """What `_read` gives, sooner."""
    try:
        return _look_up(*call)
    except TypeError:  # lists and arrays cannot be looked up, and wrong calls are refused below
        pass
    return _read(*call)


def _is_beyond(callee: _Callee, given: dict[str, Any]) -> bool:
    """Whether PyTorch has more: options, gradients in targets, a weight for every score, a row in odd shapes."""
    loss, data = callee.loss, {name: given[name] for name in callee.data if isinstance(given[name], _Kind)}
    if any(given.get(name) is not None and name not in (*loss._signature.parameters, *_LEGACY) for name in given):
        return True
    if any(kind.differentiate and name not in loss.differentiable for name, kind in data.items()):
        return True
    if loss.family == "similarity":
        *vectors, target = data.values()
        return target.dtype.is_floating_point or any(len(kind.shape) != 2 for kind in vectors)
    if loss.family != "rows":
        return False
    weight, scores, target = given.get("weight"), data.get(callee.data[0]), data.get(callee.data[1])
    many = isinstance(weight, _Kind) and len(weight.shape) > 1
    one_row = scores is not None and target is not None and len(scores.shape) == 1 and target.shape == (1,)
    return many or one_row or (scores is not None and not scores.shape)


def _broadcast(callee: _Callee, values: Sequence[Any]) -> list[Any]:
    """Tensors of which the data have one shape, as only PyTorch's own functions take them."""
    count = len(callee.data)
    first, *others = _tensors_of(values[:count])
    if callee.loss.name == "gaussian_nll_loss" and others[1].shape == first.shape[:-1]:
        others[1] = others[1].unsqueeze(-1)
    if others[0].shape != first.shape:
        warnings.warn(
            f"{callee.loss.name}: {callee.data[0]} has shape {tuple(first.shape)}, {callee.data[1]} "
            f"{tuple(others[0].shape)}; to broadcast these to each other is seldom meant",
            stacklevel=4,
        )
    return [*torch.broadcast_tensors(first, *others), *values[count:]]


def _parameters_in_torch(loss: Loss[Any]) -> dict[str, inspect.Parameter] | None:
    """The parameters of PyTorch's function of the same name; None if it is called in another way."""
    theirs = getattr(torch.nn.functional, loss.name, None)
    if theirs is None:
        return {}
    try:
        known = dict(inspect.signature(theirs).parameters)
    except ValueError:  # a built-in function
        return None
    return known if tuple(known)[: len(_data_names(loss))] == _data_names(loss) else None


def _function_of(loss: Loss[Any], known: dict[str, inspect.Parameter]) -> Callable[..., Any]:
    """The loss as a function, with the parameters that PyTorch knows where it has them."""
    own = {name: p for name, p in loss._signature.parameters.items() if name not in known}
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in (*known.values(), *own.values())]
    signature = inspect.Signature(sorted(parameters, key=lambda p: p.kind))
    theirs: Any = getattr(torch.nn.functional, loss.name) if known else None
    callee = _Callee(
        loss,
        tuple(signature.parameters),
        tuple(p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD),
        _data_names(loss),
        loss._chosen_reduction,
        _AS_TORCH.get(loss.name, {}),
        theirs,
    )

    def function(*args: Any, **kwargs: Any) -> Any:
        values, differentiate = (*args, *kwargs.values()), torch.is_grad_enabled()
        kinds = [
            (value.dtype, value.shape, differentiate and value.requires_grad, value.device)
            if isinstance(value, torch.Tensor)
            else _kinds(value, differentiate)
            for value in values
        ]
        in_graph = torch.compiler.is_compiling()
        read = _read if in_graph else _read_before
        reading = read(callee, len(args), tuple(kwargs), tuple(kinds))
        if reading is None:
            return theirs(*args, **kwargs)
        tensors = reading.tensors(values)
        if in_graph:
            if reading.wrt and not reading.unreduced:
                return _value_and_grads(tensors, reading.text)[0]
            return _value(tensors, reading.text)
        call = reading.call
        if not call.wrt:
            return call.run(tensors)
        if torch._C._are_functorch_transforms_active():
            return _Afterwards.apply(call, *tensors)
        return (_afterwards if call.unreduced else _along)(call, *tensors)

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
