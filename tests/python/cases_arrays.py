"""Cases of losses that are neither elementwise nor of class scores: each draws its own arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray
Draw = Callable[..., dict[str, Any]]  # of a generator, the number of rows and, where it may vary, their length


@dataclass(frozen=True)
class ArrayCase:
    """A loss, its parameters, and random arguments: float64 arrays and integer labels for so many rows."""

    loss: str
    arrays: Draw = field(compare=False)
    params: Mapping[str, Any] = field(default_factory=dict)
    # The values that each term of the loss has before it is reduced, given weights that what it says of them needs.
    reference: Callable[..., list[Array]] | None = field(default=None, compare=False)
    # Parameters of the reference that count as constants in a derivative, given the arrays.
    constants: Callable[..., dict[str, Any]] = field(default=lambda **_: {}, compare=False)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The names of the arrays."""
        return tuple(self.arrays(np.random.default_rng(0), 2))

    def __str__(self) -> str:
        return "-".join([self.loss, *(f"{key}={value}" for key, value in self.params.items())])
