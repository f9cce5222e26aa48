"""The `Loss` object: a documented function plus every way of asking it for value, gradient and Hessian."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, ParamSpec, TypeAlias, overload

import numpy as np

from ._config import thread_count
from ._core_kernels import Call, Kernel, SoftmaxKernel
from ._documented import Documented, search
from ._validation import as_input

P = ParamSpec("P")

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Result: TypeAlias = float | Array
Grads: TypeAlias = Array | tuple[Array, ...]

_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2, "batchmean": 3, "partial": 4, "sum_per_sample": 5}
_VALUE, _GRAD, _HESS, _AUX, _FLOAT32_RESULTS, _FLOAT64_VALUES, _REDUCED_ARRAY = 1, 2, 4, 8, 32, 64, 128

_COMMON = """\
sample_weight : array_like, optional
    Weights of the {terms}, broadcast to the shape of {shape}; must be finite and not negative. The
    mean divides by their sum. Weight 0 excludes {term}, whatever it holds{but}; a bool array is a mask.
reduction : {{{reductions}}}, default "{default}"
    "mean" and "sum" give a float accumulated in double precision; "none" gives an array.{how}

Returns
-------
float or ndarray
    The reduced loss, or an array in the shape of {shape}. The mean of nothing is NaN.

Raises
------
ValueError
    If a parameter is out of its range, an array does not fit the shape of `{first}`, or a
    weight is negative or not finite.
TypeError
    If an argument is not a real array on the CPU."""
AXIS = """\
axis : int, optional
    The axis of the classes: by default 1, or 0 of a single row.
"""
_IGNORED = """\
ignore_index : int, default -100
    Rows with this class index count for nothing.
"""
_FORMS = """\
log_input : bool, default True
    Whether `input` holds scores, or log-probabilities; otherwise it holds probabilities.
log_target : bool, default False
    Whether `target` holds scores, too, or log-probabilities; its softmax is taken.
"""
_LOGITS = """\
input : array_like
    Scores (logits): ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
"""
_SCORES = """\
input : array_like
    Scores: ``[N, C]``, ``[C]``, ``[N, C, d1, ...]``, or with the classes along `axis`.
"""
_LABELS_OR_PROBABILITIES = """\
target : array_like
    Class indices of an integer dtype, in the shape of `input` without the class axis; or class probabilities of a
    floating dtype in the shape of `input`.
"""
_LABELS = """\
target : array_like
    Class indices in the shape of `input` without the class axis.
"""
_PROBABILITIES = """\
target : array_like
    Target probabilities, in the shape of `input`.
"""
_PREDICTIONS = """\
input : array_like
    Predictions, any shape.
target : array_like
    True values, broadcast to the shape of `input`.
"""
VECTOR_AXIS = """\
axis : int, default -1
    The axis of the components of a vector.
"""
_MASKS = """\
input : array_like
    Scores ``[N, C, d1, ...]``, or with the classes along `axis`; or probabilities, where `activation` may
    be "none".
target : array_like
    Class indices of an integer dtype in the shape of `input` without the class axis (0 or 1 if there is
    one class); or masks in the shape of `input`.
"""
_OVERLAP_OPTIONS = """\
form : {"product", "minimum", "squared"}, default "product"
    What prediction and target have in common, and what is summed of each; see the formula of `dice_loss`.
    For masks of zeros and ones "product" and "minimum" are the same; "squared" is that of V-Net.
smooth_nr, smooth_dr : float, default 1e-5
    Added to numerator and denominator.
log_loss : bool, default False
    The negative logarithm of the score instead of 1 minus it.
eps : float, default 0.0
    With `log_loss`, the smallest score that counts.
activation : {"softmax", "sigmoid", "none"}, default "softmax"
    How scores become probabilities; "none" where they are probabilities already.
weight : array_like, optional
    One factor per class that counts. A mean divides by the number of values all the same.
ignore_index : int or None, default -100
    Positions with this class index, or elements of a mask with this number, count for nothing.
include_background : bool, default True
    Whether the first class counts.
absent : {"keep", "zero"}, default "keep"
    Whether a class without any target has its loss, or 0.
batch : bool, default False
    Sums over all images together, rather than over each by itself.
axis : int, optional
    The axis of the classes, by default 1; the first other axis is that of the images, unless the
    classes come first: then there is one image.
"""
_INDEX_ERROR = """
IndexError
    If a class index is out of range; nothing has been written then."""


class Family(NamedTuple):
    """What sets the losses of a driver apart from others for those who read about them."""

    name: str
    terms: str
    term: str
    shape: str
    before: str = ""
    after: str = ""
    how: str = ""
    but: str = ""
    arrays: str = ""
    text: str = _COMMON
    reductions: tuple[str, ...] = ("none", "mean", "sum")

    def documented(self, text: str, parameters: Mapping[str, inspect.Parameter], **words: str) -> str:
        """The documentation of a loss with these parameters, with what stands for ``{arrays}`` and ``{common}``.

        A paragraph of its own replaces the shared one about the same parameter.
        """
        shape = self.shape.format(words["first"])
        common = self.text.format(terms=self.terms, term=self.term, shape=shape, how=self.how, but=self.but, **words)
        own = re.findall(r"^ *(\w+) : ", text, re.MULTILINE)
        rest = {name: parameter for name, parameter in parameters.items() if name not in own}
        before = _of_these(self.before, rest) + common + self.after
        return text.replace("{arrays}\n", _of_these(self.arrays, rest)).replace("{common}", before)


def _of_these(paragraphs: str, parameters: Mapping[str, inspect.Parameter]) -> str:
    """Of the paragraphs, one for each parameter, those that are wanted, with what stands for ``{default}``."""
    each = re.split(r"^(?=\w+(?:, \w+)* : )", paragraphs, flags=re.MULTILINE)
    named = [(re.split(r"\W", paragraph, maxsplit=1)[0], paragraph) for paragraph in each]
    return "".join(text.replace("{default}", str(parameters[k].default)) for k, text in named if k in parameters)


_ELEMENTWISE = Family("elementwise", "elements", "an element", "`{}`", arrays=_PREDICTIONS)
_ORDINAL = Family("ordinal", "elements", "an element", "`{}`", after=_INDEX_ERROR)
_ROWS = Family("rows", "rows", "a row", "`{}` without its class axis", _IGNORED + AXIS, _INDEX_ERROR)
_OVERLAP = Family(
    "overlap",
    "values",
    "a value",
    "the values, by image and class or by image",
    _OVERLAP_OPTIONS,
    _INDEX_ERROR,
    arrays=_MASKS,
)
_LAYERS = """\
linear_bias : array_like, optional
    The bias ``[C]`` of the layer, or one number.
target_weight : array_like, optional
    The weights ``[C, E]`` of the teacher's layer; without them `target` holds scores.
target_bias : array_like, optional
    Its bias ``[C]``, or one number.
labels : array_like, optional
    Class indices ``[N]``, of which only `ignore_index` matters.
ignore_index : int, default -100
    Rows with this class index count for nothing.
"""
_SIMILARITY = Family(
    "similarity",
    "rows",
    "a row",
    "the rows of scores, one for each vector",
    _LAYERS,
    but=" (but other rows may still be compared with its vector)",
)
_STUDENT = """\
input : array_like
    What the student's layer is applied to, ``[N, D]``.
linear_weight : array_like
    Its weights ``[C, D]``, one row per class.
target : array_like
    Scores ``[N, C]`` of the teacher; with `target_weight`, what the teacher's layer is applied to, ``[N, E]``.
"""
_REFERENCE = """\
reference_log_prob : array_like, optional
    Log-probabilities under a frozen reference model of what the loss compares, in place of its layer.
reference_input : array_like, optional
    What the layer of the reference model is applied to, like `input`.
reference_weight : array_like, optional
    The weights of that layer, like `linear_weight`.
reference_bias : array_like, optional
    Its bias.
"""
_ANSWER = """\
input : array_like
    What the layer is applied to, ``[{n}, T, D]``: T tokens of {answers}.
linear_weight : array_like
    Its weights ``[C, D]``, one row per class.
target : array_like
    The tokens' class indices ``[{n}, T]``; what is not part of an answer has `ignore_index`.
"""
_LIKELIHOOD = """\
alpha : float, default {default}
    Weight of the negative log-likelihood of the chosen answers, a mean over all of their tokens.
average_log_prob : bool, default {default}
    Whether log-probabilities of answers are means over their tokens, or sums.
"""
_ANSWERS = Family("similarity", "answers", "an answer", "the answers", _LIKELIHOOD + _LAYERS + _REFERENCE, _INDEX_ERROR)
_PAIRS = Family("pairs", "rows", "a row", "`{}` without the axis of its vectors", VECTOR_AXIS)


_TWO_BOXES = """\
boxes1 : array_like
    Predicted boxes, four numbers along the last axis.
boxes2 : array_like
    True boxes, broadcast to the shape of `boxes1`.
"""
_FORMAT = """\
format : {"xyxy", "cxcywh", "xywh"}, default "xyxy"
    What the four numbers of a box are: opposite corners, centre and size, or first corner and size.
eps : float, default 1e-7
    Added to the areas (and squared lengths) that something is divided by; must not be negative.
"""
_BOXES = Family("boxes", "pairs of boxes", "a pair", "`{}` without its last axis", _FORMAT, arrays=_TWO_BOXES)


class PartialSum(NamedTuple):
    """The sums of one chunk as unevaluated pairs of doubles (high + low), ready to be merged."""

    total: float
    total_low: float
    weight: float
    weight_low: float
    size: int

    @property
    def sums(self) -> tuple[tuple[float, float], ...]:
        """The terms of each sum: of the losses, and of the weights."""
        return (self.total, self.total_low), (self.weight, self.weight_low)


class Aux(NamedTuple):
    """What a softmax knows besides its loss: arrays with one entry per row, in the shape of the unreduced loss."""

    log_sum_exp: Array
    argmax: Array
    correct: Array


class _Sealed:
    """Stands for an array that nobody looks into."""

    def __getattr__(self, name: str) -> Any:
        raise TypeError(f"{name} of a sealed array")


def _arrays(loss: str, names: tuple[str, ...], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Array-likes as arrays."""
    for x in values:
        if type(x) is not np.ndarray:
            return tuple([as_input(loss, name, value) for name, value in zip(names, values, strict=False)])
    return values


@dataclass(frozen=True, slots=True)
class _Template:
    """The arrays that alone make a call, whether the last is a label, and what the body puts beside them.

    With it the body need not run at every call: that takes a microsecond or two, as long as the kernel needs for some
    ten thousand elements.
    """

    names: tuple[str, ...]
    labelled: bool
    kernel: Kernel
    inputs: tuple[Any, ...]
    params: tuple[float, ...]
    options: tuple[Any, ...]

    def filled(self, loss: str, arrays: tuple[Any, ...]) -> Call:
        """The call with these arrays."""
        arrays = _arrays(loss, self.names, arrays)
        if self.labelled:
            return self.kernel, arrays[:-1] + self.inputs, self.params, arrays[-1:] + self.options
        return self.kernel, arrays + self.inputs, self.params, self.options


class Loss(Documented[P]):
    """A loss function.

    Calling it gives the (reduced) value. `value_and_grad`, `grad`, `backward` and `grad_and_hess` take the same
    arguments; all of them run the same kernel in one pass over the data.

    Attributes
    ----------
    name : str
        The public name, e.g. ``"huber_loss"``.
    family : str
        The driver that carries it: ``"elementwise"``, ``"rows"``, ``"boxes"``, ``"pairs"``, ``"overlap"`` or
        ``"similarity"``; or ``"composition"`` of a loss that is composed of others.
    inputs : tuple of str
        Names of the array arguments.
    params : dict
        Names and defaults (or bound values) of the parameters.
    differentiable : tuple of str
        Array arguments that have a gradient.
    trains : tuple of str
        Those of them whose gradient is given by default.
    has_hessian : bool
        Whether `grad_and_hess` works.
    aliases : tuple of str
        Other names of the same loss.
    summary, formula, gradient, hessian, domain, source : str
        From the documentation.
    """

    kind: ClassVar[str] = "loss"
    registry: ClassVar[dict[str, Loss[Any]]] = {}
    per_call: ClassVar[tuple[str, ...]] = ("sample_weight",)
    around: ClassVar[tuple[str, ...]] = ("weight", "sample_weight", "reduction")

    def __init__(
        self,
        function: Callable[P, Result],
        *,
        family: Family,
        trains: Sequence[str],
        aliases: Sequence[str] = (),
        reductions: Sequence[str] | None = None,
    ) -> None:
        self.family = family.name
        self._family = family
        self.trains: tuple[str, ...] = tuple(trains)
        self._reductions = tuple(reductions or family.reductions)
        self._default_reduction: str = (function.__kwdefaults__ or {}).get("reduction", "mean")
        self._known_bits: dict[Any, int] = {}  # by inputs, which of them have gradients, and `wrt`
        super().__init__(function, aliases=aliases)

    # ---- what it is ----------------------------------------------------------------------------

    @functools.cached_property
    def differentiable(self) -> tuple[str, ...]:
        kernel = self._probe[0]
        return tuple(name for k, name in enumerate(kernel.inputs) if kernel.differentiable >> k & 1)

    @functools.cached_property
    def has_hessian(self) -> bool:
        return self._probe[0].has_hessian

    @property
    def hessian(self) -> str:
        return self._metadata["Hessian"]

    def _document(self, text: str) -> str:
        parameters = self._signature.parameters
        reductions = ", ".join(f'"{name}"' for name in self._reductions)
        words = {"first": next(iter(parameters)), "reductions": reductions, "default": self._default_reduction}
        return self._family.documented(text, parameters, **words)

    # ---- calling it ----------------------------------------------------------------------------

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result:
        value: Any
        value, _, _, aux = self._run(args, kwargs, _VALUE)
        if aux is not None:
            value = value, aux
        result: Result = value
        return result

    @overload
    def value_and_grad(self, *args: Any, return_aux: Literal[True], **kwargs: Any) -> tuple[Result, Grads, Aux]: ...
    @overload
    def value_and_grad(self, *args: Any, **kwargs: Any) -> tuple[Result, Grads]: ...
    def value_and_grad(self, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any) -> Any:
        """The value and, in the same pass, its gradient.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself; also ``n_threads`` and, for losses on a softmax, ``return_aux``.
        wrt : str or sequence of str, optional
            Arguments to differentiate with respect to; by default those in `trains`.
        out : ndarray or tuple of ndarray, optional
            Where to write the gradient(s): writable, of the argument's shape and dtype. May be the argument itself.

        Returns
        -------
        value : float or ndarray
        grad : ndarray or tuple of ndarray
            The gradient of the reduced value (of the sum, for reduction "none"), in the argument's dtype (float64
            for integers); a tuple in argument order if there are several. That of an argument which is a list of
            arrays is a tuple of arrays.
        aux : Aux
            With ``return_aux=True``: log-sum-exp, most probable class, and whether that is the target, per row.
        """
        value, grads, _, aux = self._run(args, kwargs, _VALUE | _GRAD, wrt, out)
        return (value, grads) if aux is None else (value, grads, aux)

    def grad(self, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any) -> Grads:
        """The gradient alone; arguments and result as for `value_and_grad`."""
        grads: Grads = self._run(args, kwargs, _GRAD, wrt, out)[1]
        return grads

    def backward(
        self, grad_output: Any, *args: Any, wrt: str | Sequence[str] | None = None, out: Any = None, **kwargs: Any
    ) -> Grads:
        """The vector-Jacobian product: the gradient of ``sum(grad_output * loss)``.

        Parameters
        ----------
        grad_output : float or array_like
            The cotangent: a scalar for a reduced loss; for reduction "none" an array that broadcasts to the loss.
        *args, wrt, out, **kwargs
            As for `value_and_grad`.

        Returns
        -------
        ndarray or tuple of ndarray
        """
        cotangent = as_input(self.name, "grad_output", grad_output)
        grads: Grads = self._run(args, kwargs, _GRAD, wrt, out, cotangent)[1]
        return grads

    def grad_and_hess(self, *args: Any, out: Any = None, **kwargs: Any) -> tuple[Array, Array]:
        """Gradient and Hessian diagonal in the first argument, in one pass: what boosting asks for.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself. Unlike elsewhere `reduction` is "sum" unless given: boosting libraries add
            up the elements themselves.
        out : tuple of ndarray, optional
            ``(grad, hess)`` to write into. Both may be float32 where the argument is float64, as boosting libraries
            have it: the results are then rounded to float32, and come several times faster.

        Returns
        -------
        grad, hess : ndarray

        Raises
        ------
        TypeError
            If the loss has no Hessian; see `has_hessian`.
        """
        if not self.has_hessian:
            raise TypeError(f"{self.name} has no Hessian")
        kwargs.setdefault("reduction", "sum")
        want = _GRAD | _HESS
        if isinstance(out, tuple) and all(isinstance(a, np.ndarray) and a.dtype == np.float32 for a in out):
            want |= _FLOAT32_RESULTS
        _, grads, hess, _ = self._run(args, kwargs, want, self._probe[0].inputs[0], out)
        return grads, hess

    def partial(self, *args: Any, **kwargs: Any) -> PartialSum:
        """The sum of the losses and of the weights as compensated pairs, for evaluation in chunks.

        Parameters
        ----------
        *args, **kwargs
            As for the loss itself, without `reduction`.

        Returns
        -------
        PartialSum
        """
        return PartialSum(*self._run(args, kwargs, _VALUE, reduction="partial")[0])

    def bind(self, **params: Any) -> Loss[P]:
        self._reduction_code(params.get("reduction", self._default_reduction))
        return super().bind(**params)

    # ---- how it runs ---------------------------------------------------------------------------

    def _reduction_code(self, reduction: Any) -> int:
        if not isinstance(reduction, str) or reduction not in self._reductions:
            options = ", ".join(map(repr, self._reductions))
            raise ValueError(f"{self.name}: reduction must be one of {options}, got {reduction!r}")
        return _REDUCTIONS[reduction]

    def _run(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        want: int,
        wrt: str | Sequence[str] | None = None,
        out: Any = None,
        cotangent: Any = None,
        reduction: str | None = None,
    ) -> tuple[Any, Any, Any, Any]:
        name = self.name
        sample_weight = threads = None
        code = self._chosen_code
        if kwargs:
            sample_weight = kwargs.pop("sample_weight", None)
            threads = kwargs.pop("n_threads", None)
            if "reduction" in kwargs:
                code = self._reduction_code(kwargs.pop("reduction"))
            if kwargs.pop("return_aux", False):
                want |= _AUX
        if reduction is not None:
            code = _REDUCTIONS[reduction]
        template = None if kwargs else self._template
        if template is not None and len(args) == len(template.names):
            kernel, inputs, params, options = template.filled(name, args)
        else:
            kernel, inputs, params, options = self._call(args, kwargs)
            inputs = _arrays(name, kernel.inputs, inputs)
            options = kernel.checked(name, options)
        if want & _AUX and not isinstance(kernel, SoftmaxKernel):
            raise TypeError(f"{name} has no return_aux")
        if want & _HESS and not kernel.has_hessian:
            raise TypeError(f"{name} has no Hessian for a target of probabilities")
        if sample_weight is not None:
            if "sample_weight" not in self._signature.parameters:
                raise TypeError(f"{name} has no sample_weight: it is one number of a whole batch")
            sample_weight = as_input(name, "sample_weight", sample_weight)
        value, grads, hess, aux = kernel.run(
            kernel.index,
            name,
            inputs,
            params,
            options,
            sample_weight,
            cotangent,
            code,
            want,
            self._wrt_bits(kernel, wrt) if want & _GRAD else 0,
            out,
            thread_count(threads),
        )
        if aux is not None and isinstance(kernel, SoftmaxKernel):
            aux = Aux(aux[0], aux[1], kernel.correct(aux[1], inputs, options))
        return value, grads[0] if len(grads) == 1 else grads, hess, aux

    def _prepared(
        self, want: int, wrt: str | Sequence[str]
    ) -> Callable[[tuple[Any, ...], Any, Any, int], tuple[Any, Any, Any, Any]]:
        """A function of arrays, sample weight, `out` and threads that does what `_run` does, for many short calls."""
        template = self._template
        if template is None:
            return lambda arrays, weight, out, threads: self._run(
                arrays, {"sample_weight": weight, "n_threads": threads or None}, want, wrt, out
            )
        label, code, bits = self.name, self._chosen_code, self._wrt_bits(template.kernel, wrt)

        def run(arrays: tuple[Any, ...], weight: Any, out: Any, threads: int) -> tuple[Any, Any, Any, Any]:
            kernel, inputs, params, options = template.filled(label, arrays)
            return kernel.run(
                kernel.index, label, inputs, params, options, weight, None, code, want, bits, out, threads
            )

        return run

    def _call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        fixed = {key: value for key, value in self._bound.items() if key != "reduction"}
        return self._described(args, {**fixed, **kwargs})

    @functools.cached_property
    def _chosen_reduction(self) -> str:
        return str(self._bound.get("reduction", self._default_reduction))

    @functools.cached_property
    def _chosen_code(self) -> int:
        return self._reduction_code(self._chosen_reduction)

    @functools.cached_property
    def _template(self) -> _Template | None:
        """What the body makes of arrays alone; None where it does more with them than hand them on."""
        names = tuple(p.name for p in self._signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD)
        arrays = tuple(_Sealed() for _ in names)
        try:
            kernel, inputs, params, options = self._call(arrays, {})
        except TypeError:  # the seal broke
            return None
        labelled = bool(options) and options[0] is arrays[-1]
        if labelled:
            arrays, options = arrays[:-1], (None, *options[1:])
        n = len(arrays)
        same = len(inputs) >= n and all(a is b for a, b in zip(inputs, arrays, strict=False))
        if not same or any(isinstance(x, _Sealed) for x in (*inputs[n:], *options)):
            return None
        inputs = _arrays(self.name, kernel.inputs[n:], inputs[n:])
        options = kernel.checked(self.name, options)[labelled:]
        return _Template(names, labelled, kernel, inputs, params, options)

    def _wrt_bits(self, kernel: Kernel, wrt: str | Sequence[str] | None) -> int:
        if isinstance(wrt, str):
            wrt = (wrt,)
        elif wrt is not None and not isinstance(wrt, (list, tuple)):
            raise TypeError(f"{self.name}: wrt must be the name of an argument or several, got {type(wrt).__name__}")
        key = kernel.inputs, kernel.differentiable, wrt and tuple(wrt)
        known = self._known_bits.get(key)
        if known is None:
            known = self._known_bits[key] = self._bits_of(kernel, self.trains if wrt is None else wrt)
        return known

    def _bits_of(self, kernel: Kernel, wrt: Sequence[str]) -> int:
        bits = 0
        for name in wrt:
            k = kernel.inputs.index(name) if name in kernel.inputs else -1
            if k < 0 or not kernel.differentiable >> k & 1:
                raise ValueError(
                    f"{self.name}: wrt must be among {', '.join(map(repr, self.differentiable))}, got {name!r}"
                )
            bits |= 1 << k
        if not bits:
            raise ValueError(f"{self.name}: wrt names no argument")
        return bits


class _Enlist:
    """The decorator of a family: makes a `Loss` of a function whose body names the kernel."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def __call__(
        self,
        *,
        trains: Sequence[str] = ("input",),
        aliases: Sequence[str] = (),
        reductions: Sequence[str] | None = None,
    ) -> Callable[[Callable[P, Result]], Loss[P]]:
        """Decorate a public function.

        Parameters
        ----------
        trains : sequence of str
            Arguments whose gradient is given by default.
        aliases : sequence of str
            Other names people search for.
        reductions : sequence of str, optional
            What `reduction` may be, if not what it may be in the family.
        """

        def decorate(function: Callable[P, Result]) -> Loss[P]:
            loss = Loss(function, family=self._family, trains=trains, aliases=aliases, reductions=reductions)
            Loss.registry[loss.name] = loss
            return loss

        return decorate


elementwise = _Enlist(_ELEMENTWISE)
ordinal = _Enlist(_ORDINAL)
rows = _Enlist(_ROWS)
rows_of_logits = _Enlist(_ROWS._replace(arrays=_LOGITS + _LABELS_OR_PROBABILITIES))
rows_of_scores = _Enlist(_ROWS._replace(arrays=_SCORES + _LABELS))
rows_of_distributions = _Enlist(_ROWS._replace(arrays=_LOGITS + _PROBABILITIES, before=_FORMS + AXIS))
similarity = _Enlist(_SIMILARITY)
student_and_teacher = _Enlist(_SIMILARITY._replace(arrays=_STUDENT))
answers_of_a_layer = _Enlist(_ANSWERS._replace(arrays=_ANSWER.format(n="N", answers="N answers")))
pairs_of_answers = _Enlist(
    _ANSWERS._replace(
        terms="pairs of answers",
        term="a pair",
        shape="the pairs of answers",
        arrays=_ANSWER.format(n="2 * N", answers="N chosen answers and then of N rejected ones"),
    )
)
overlap = _Enlist(_OVERLAP)
boxes = _Enlist(_BOXES)
pairs = _Enlist(_PAIRS)


def losses(query: str | None = None) -> list[Loss[Any]]:
    """Every loss, or those a search finds.

    Parameters
    ----------
    query : str, optional
        Case-insensitive text to look for in names and aliases, then in summaries and sources.

    Returns
    -------
    list of Loss
        Sorted by name; for a query, matches of a name or alias come first.
    """
    return search(Loss.registry.values(), query)
