"""The compiled losses as Python callables that describe a call without running it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np

from . import _core
from ._validation import as_input, choice, integer

if TYPE_CHECKING:
    from ._loss import Result

# One call of a kernel, as the body of a public loss returns it: the kernel, its inputs and parameters in its own order,
# and what its family takes besides. A plain tuple, because it stands in the path of every call.
Call: TypeAlias = "tuple[Kernel, tuple[Any, ...], tuple[float, ...], tuple[Any, ...]]"

_DIVISORS = {"rows": 0, "weights": 1, "elements": 2, "tasks": 3, "anchors": 4, "pairs": 5, "terms": 6}
_HESSIANS = {"exact": 0, "gauss_newton": 1, "upper": 2, "lightgbm": 3, "abs_residual": 4}


class Kernel:
    """A compiled loss; calling it with inputs in order and parameters by name gives a `Call`."""

    __slots__ = ("arrays", "differentiable", "has_hessian", "index", "inputs", "name", "params")

    run: ClassVar[Callable[..., tuple[Any, tuple[Any, ...], Any, Any]]]
    array_options: ClassVar[tuple[str, ...]]  # names of the leading options

    def __init__(self, info: Mapping[str, Any]) -> None:
        self.index: int = info["index"]
        self.name: str = info["name"]
        self.inputs: tuple[str, ...] = info["inputs"]
        self.params: tuple[str, ...] = info["params"]
        self.arrays: int = info["arrays"]
        self.differentiable: int = info["differentiable"]
        self.has_hessian: bool = info["has_hessian"]

    # Annotated as what the public function gives its caller: the decorator turns the call into that result.
    def _call(self, inputs: tuple[Any, ...], params: dict[str, float], options: tuple[Any, ...]) -> Result:
        if tuple(params) != self.params:
            if params.keys() != set(self.params):
                raise TypeError(f"kernel {self.name} takes the parameters {self.params}")
            params = {name: params[name] for name in self.params}
        if not self.arrays <= len(inputs) <= len(self.inputs):
            raise TypeError(f"kernel {self.name} takes the inputs {self.inputs}")
        return self, inputs, tuple(params.values()), options  # type: ignore[return-value]

    def checked(self, loss: str, options: tuple[Any, ...]) -> tuple[Any, ...]:
        """The options with their array-likes as arrays."""
        for k, name in enumerate(self.array_options):
            given = options[k]
            if given is not None and type(given) is not np.ndarray:
                options = (*options[:k], as_input(loss, name, given), *options[k + 1 :])
        return options

    def __repr__(self) -> str:
        return f"<kernel {self.name}({', '.join(self.inputs)}; {', '.join(self.params)})>"


class ElementwiseKernel(Kernel):
    """`weight` is that of torch's losses that have one; `weight_normalises` says whether a mean divides by it."""

    __slots__ = ()

    run = staticmethod(_core.elementwise)
    array_options = ("weight",)

    def __call__(self, *inputs: Any, weight: Any = None, weight_normalises: bool = False, **params: float) -> Result:
        return self._call(inputs, params, (weight, weight_normalises))


def _codes(axis: int | None, ignore_index: int | None, divisor: str, hessian: str) -> tuple[Any, ...]:
    if axis is not None:
        axis = integer("axis", axis)
    if ignore_index is not None:
        ignore_index = integer("ignore_index", ignore_index)
    return axis, ignore_index, _DIVISORS[divisor], _HESSIANS[choice("hessian", hessian, _HESSIANS)]


class RowKernel(Kernel):
    """A compiled loss of rows of class scores.

    `inputs` have a class axis. `label` is the last argument of the loss: class indices or, for a kernel that takes
    them, probabilities, told apart by their dtype. `weight` has one entry per class. A mean divides by the rows that
    are not ignored ("rows", their class weights aside), by the sum of the class weights of their labels ("weights"; by
    all rows for probabilities), by all scores ("elements"), or by the thresholds up to the labels ("tasks"); sample
    weights count in each.
    """

    __slots__ = ()

    run = staticmethod(_core.rows)
    array_options = ("target", "weight", "offset", "margin")

    def __call__(
        self,
        *inputs: Any,
        label: Any = None,
        axis: int | None = None,
        weight: Any = None,
        ignore_index: int | None = None,
        divisor: str = "rows",
        hessian: str = "exact",
        **params: float,
    ) -> Result:
        codes = _codes(axis, ignore_index, divisor, hessian)
        return self._call(inputs, params, (label, weight, None, None, *codes, 1.0, 0.0, 0.0, 0.0, False))


class SoftmaxKernel(RowKernel):
    """A loss that is a function of the log-probability of the label alone.

    The scores first become ``scale * softcap(score) + offset``, less ``margin[label]`` at the label.
    """

    __slots__ = ()

    def __call__(
        self,
        *inputs: Any,
        label: Any = None,
        axis: int | None = None,
        weight: Any = None,
        ignore_index: int | None = None,
        divisor: str = "rows",
        hessian: str = "exact",
        offset: Any = None,
        margin: Any = None,
        scale: float = 1.0,
        softcap: float = 0.0,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        **params: float,
    ) -> Result:
        codes = _codes(axis, ignore_index, divisor, hessian)
        transform = (scale, softcap, z_loss, label_smoothing, False)
        return self._call(inputs, params, (label, weight, offset, margin, *codes, *transform))

    def correct(self, argmax: Any, inputs: tuple[Any, ...], options: tuple[Any, ...]) -> Any:
        """Whether the most probable class is the target, by row; ignored rows have -1 for a class and are not."""
        target = np.asarray(options[0] if len(inputs) == 1 else inputs[1])
        if target.dtype.kind not in "biu":
            axis = options[4] if options[4] is not None else int(target.ndim > 1)
            target = target.argmax(axis)
        return (argmax == target) & (argmax >= 0)


class BoxKernel(Kernel):
    """A compiled loss of pairs of boxes, which lie along the last axis."""

    __slots__ = ()

    run = staticmethod(_core.boxes)
    array_options = ()

    def __call__(self, *inputs: Any, **params: float) -> Result:
        return self._call(inputs, params, ())


_MEASURES = {
    "squared_l2": 0,
    "l2": 1,
    "l1": 2,
    "linf": 3,
    "lp": 4,
    "cosine": 5,
    "cosine_distance": 6,
    "dot": 7,
    "negative_dot": 8,
}


class PairKernel(Kernel):
    """A compiled loss of rows of paired vectors, compared by a measure.

    The first `inputs` are vectors along an axis, the others have one number per row. `label`, where the loss takes one,
    says which rows of the second input belong to the first. `weight` multiplies the rows without being divided by.
    """

    __slots__ = ()

    run = staticmethod(_core.pairs)
    array_options = ("target", "weight")

    def __call__(
        self,
        *inputs: Any,
        label: Any = None,
        weight: Any = None,
        axis: int = -1,
        measure: str = "l2",
        p: float = 2.0,
        eps: float = 0.0,
        **params: float,
    ) -> Result:
        return self._call(inputs, params, (label, weight, integer("axis", axis), _MEASURES[measure], p, eps))


_ACTIVATIONS = {"none": 0, "sigmoid": 1, "softmax": 2}
_FORMS = {"product": 0, "minimum": 1, "squared": 2}
_ABSENT = ("keep", "zero")


class OverlapKernel(Kernel):
    """A compiled loss of sums over the positions of masks.

    `label` is the last argument of the loss: class indices, or a mask in the shape of the scores. `weight` has one
    entry per class, `position_weight` multiplies the terms of every sum, and `cost` is a matrix by label and class.
    `gamma` and `factor` are the exponent and the factor of the loss by position where the target is 0, and where it
    is 1.
    """

    __slots__ = ("grouped",)

    run = staticmethod(_core.overlap)

    @property
    def array_options(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the leading options."""
        return self.inputs[1], "weight", "distance", "cost"

    def __init__(self, info: Mapping[str, Any]) -> None:
        super().__init__(info)
        self.grouped: bool = info["grouped"]  # one value for all classes of an image

    def __call__(
        self,
        *inputs: Any,
        label: Any,
        activation: str,
        form: str = "product",
        weight: Any = None,
        position_weight: Any = None,
        cost: Any = None,
        axis: int | None = None,
        ignore_index: int | None = None,
        batch: bool = False,
        include_background: bool = True,
        absent: str = "keep",
        gamma: float | tuple[float, float] = 0.0,
        factor: tuple[float, float] = (1.0, 1.0),
        **params: float,
    ) -> Result:
        if axis is not None:
            axis = integer("axis", axis)
        if ignore_index is not None:
            ignore_index = integer("ignore_index", ignore_index)
        codes = (
            _ACTIVATIONS[choice("activation", activation, _ACTIVATIONS)],
            _FORMS[choice("form", form, _FORMS)],
            choice("absent", absent, _ABSENT) == "zero",
            *(gamma if isinstance(gamma, tuple) else (gamma, gamma)),
            *factor,
        )
        arrays = (label, weight, position_weight, cost)
        return self._call(inputs, params, (*arrays, axis, ignore_index, bool(batch), bool(include_background), *codes))


K = TypeVar("K", bound=Kernel)


class Kernels(Generic[K]):
    """The compiled losses of a family, as attributes."""

    def __init__(self, family: Mapping[str, type[Kernel]]) -> None:
        compiled = [info for info in _core.losses() if info["shape"] in family]
        self.__dict__.update({info["name"]: family[info["shape"]](info) for info in compiled})

    def __getattr__(self, name: str) -> K:
        raise AttributeError(f"no kernel {name!r} is compiled in")


kernels: Kernels[ElementwiseKernel] = Kernels({"elementwise": ElementwiseKernel})
pair_kernels: Kernels[PairKernel] = Kernels({"pairs": PairKernel})
row_kernels: Kernels[SoftmaxKernel] = Kernels({"rows": RowKernel, "softmax": SoftmaxKernel})
box_kernels: Kernels[BoxKernel] = Kernels({"boxes": BoxKernel})
overlap_kernels: Kernels[OverlapKernel] = Kernels({"overlap": OverlapKernel})


# What each input of a similarity kernel is to the scores, as the core spells it.
_ROLES = {
    "row": "r",
    "column": "c",
    "both": "b",
    "own": "o",
    "centres": "k",
    "groups": "g",
    "scale": "s",
    "bias": "a",
    "number": "n",
    "numbers": "m",
}
_LABELS = {"given": 0, "diagonal": 1, "opposite": 2, "first": 3, "numbered": 4, "groups": 5}
_BEYOND = {"line": 0, "falls": 1, "cosine": 2, "stays": 3}


class SimilarityKernel(Kernel):
    """A loss of rows of class scores, applied to the scores of all pairs of two sets of vectors.

    `inputs` names the arrays of the public loss and what each is to the scores: vectors that are rows ("row"),
    columns ("column") or "both", columns that each row has for itself ("own": [N, D] or [N, K, D], they come first),
    several columns for each class ("centres": [C, K, D]), rows in groups whose means are the columns ("groups":
    [N, M, D], each row labelled with its group, which it meets without itself), a number that multiplies the scores
    ("scale") or is added to them ("bias", also one for each column), or one that each row has learned ("number", also
    one for each label; "numbers": one for each row).
    Inputs of one kind follow one another. With `by_length` rows have learned the norms that `normalize` divided them
    by, and gradients go through these.

    `label` is the label of each row, or `labels` says which column is a row's positive: that of its own number
    ("diagonal"), that of the other half ("opposite"), or the first; "numbered" rows are labelled 0, 1, ... `of_columns`
    are up to two further inputs of the loss of the rows, one number per column; another is what the loss `first` gives
    for the row of its number. `compared` are scores without gradients that the loss compares the others with: scores as
    they are, or the vectors of the rows and of the columns, and a bias. With the divisor "terms" a mean divides by what
    the rows say they sum.
    """

    __slots__ = ("first", "names", "roles", "target")

    run = staticmethod(_core.similarity)

    def __init__(
        self, loss: str, inputs: Mapping[str, str], *, target: str = "labels", first: str | None = None
    ) -> None:
        compiled = {i["name"]: i for i in _core.losses() if i["shape"] in ("rows", "softmax", "similarity")}
        info = compiled[loss]
        everything = (1 << len(inputs)) - 1
        super().__init__(
            {
                **info,
                "inputs": tuple(inputs),
                "arrays": len(inputs),
                "differentiable": everything,
                "has_hessian": False,
            }
        )
        self.names = " ".join(inputs)
        self.roles = "".join(_ROLES[role] for role in inputs.values())
        self.target = target
        self.first: int = compiled[first]["index"] if first else -1

    def __call__(
        self,
        *inputs: Any,
        label: Any = None,
        of_columns: tuple[Any, ...] = (),
        labels: str = "given",
        weight: Any = None,
        compared: tuple[Any, Any, Any] = (None, None, None),
        ignore_index: int | None = None,
        divisor: str = "rows",
        scale: float = 1.0,
        normalize: bool = False,
        exclude_self: bool = False,
        distance: bool = False,
        two_sided: bool = False,
        paired: bool = False,
        softcap: float = 0.0,
        z_loss: float = 0.0,
        label_smoothing: float = 0.0,
        raw_rows: bool = False,
        by_length: bool = False,
        margin: tuple[float, float, float, str] | None = None,
        **params: float,
    ) -> Result:
        if ignore_index is not None:
            ignore_index = integer("ignore_index", ignore_index)
        flags = normalize | exclude_self << 1 | distance << 2 | two_sided << 3 | paired << 4 | raw_rows << 5
        flags |= by_length << 6
        arrays = (label, *(*of_columns, None, None)[:2], weight, *compared)
        codes = (ignore_index, _DIVISORS[divisor], self.names, self.roles, _LABELS[labels])
        harder = (*margin[:3], _BEYOND[margin[3]]) if margin else None
        transform = (flags, scale, softcap, z_loss, label_smoothing, self.target, harder, self.first)
        return self._call(inputs, params, (*arrays, *codes, *transform))

    @property
    def array_options(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the leading options."""
        return self.target, self.target, self.target, "weight", "target", "target_weight", "target_bias"


class Head:
    """A loss of the scores of a linear layer that may have a bias, for layers whose three arrays have these names."""

    def __init__(
        self, loss: str, names: tuple[str, str, str] = ("input", "linear_weight", "linear_bias"), target: str = "target"
    ) -> None:
        roles = dict(zip(names, ("row", "column", "bias"), strict=True))
        self._biased = SimilarityKernel(loss, roles, target=target)
        self._plain = SimilarityKernel(loss, dict(list(roles.items())[:2]), target=target)

    def __call__(self, input: Any, weight: Any, bias: Any, /, **options: Any) -> Result:
        if bias is None:
            return self._plain(input, weight, **options)
        return self._biased(input, weight, bias, **options)
