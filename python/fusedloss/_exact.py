"""Sums without rounding."""

from __future__ import annotations

import math
from fractions import Fraction


class ExactSum:
    """A sum without rounding, so that terms may come in any order and grouping; infinities and NaN are summed apart."""

    def __init__(self, finite: Fraction | int | str = 0, special: float | str = 0.0) -> None:
        self.finite = Fraction(finite)
        self.special = float(special)

    def __iadd__(self, other: ExactSum) -> ExactSum:
        self.finite += other.finite
        self.special += other.special
        return self

    def add(self, *terms: float) -> None:
        """Add numbers."""
        for term in terms:
            if math.isfinite(term):
                self.finite += Fraction(term)
            else:
                self.special += term

    def __truediv__(self, other: ExactSum) -> float:
        """The quotient, rounded once; 0 / 0 is NaN."""
        if self.special or other.special:
            return (self.special or 1.0) / (other.special or 1.0)
        if not other.finite and not self.finite:
            return math.nan
        try:
            return float(self.finite / other.finite)
        except (OverflowError, ZeroDivisionError):
            return math.inf if (self.finite > 0) == (other.finite >= 0) else -math.inf

    def __float__(self) -> float:
        return self / ExactSum(1)

    def state(self) -> list[str]:
        """Plain text from which ``ExactSum(*state)`` restores the sum."""
        return [str(self.finite), repr(self.special)]
