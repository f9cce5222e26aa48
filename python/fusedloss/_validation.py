"""Checks of parameters and conversion of array-likes; every error names the argument."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_LARGEST = 2**1023  # integers below fit into a double


def _number(name: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} is larger than any floating-point number") from None
    if math.isnan(number):
        raise ValueError(f"{name} must not be NaN")
    return number


def finite(name: str, value: Any) -> float:
    """A finite number."""
    number = _number(name, value)
    if math.isinf(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def positive(name: str, value: Any) -> float:
    """A number greater than zero."""
    number = _number(name, value)
    if not number > 0.0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def non_negative(name: str, value: Any) -> float:
    """A finite number that is zero or greater."""
    number = finite(name, value)
    if number < 0.0:
        raise ValueError(f"{name} must not be negative, got {number}")
    return number


def in_range(name: str, value: Any, low: float, high: float, *, inclusive: str = "both") -> float:
    """A number between two limits; `inclusive` is "both", "neither", "low" or "high"."""
    number = _number(name, value)
    above = number >= low if inclusive in ("both", "low") else number > low
    below = number <= high if inclusive in ("both", "high") else number < high
    if not (above and below):
        left, right = "[" if inclusive in ("both", "low") else "(", "]" if inclusive in ("both", "high") else ")"
        raise ValueError(f"{name} must be in {left}{low}, {high}{right}, got {number}")
    return number


def integer(name: str, value: Any) -> int:
    """A whole number of 64 bits."""
    if type(value) is not int and not isinstance(value, np.integer):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{name} must be an integer of 64 bits, got {number}")
    return number


def flag(name: str, value: Any) -> None:
    """Refuses what is neither true nor false."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, (int, np.integer)) and value in (0, 1)):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def one_of(name: str, value: Any, numbers: Collection[int]) -> float:
    """One of a few numbers."""
    if not isinstance(value, (int, float, np.number)) or value not in numbers:
        raise ValueError(f"{name} must be {' or '.join(map(str, numbers))}, got {value!r}")
    return float(value)


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """One of a few strings."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value


def as_input(loss: str, name: str, value: Any) -> Any:
    """What the core takes: an ndarray or a Python number.

    Anything with ``__array__`` or a CPU ``__dlpack__`` is accepted; masked arrays, None, and arrays on
    another device are refused.
    """
    if type(value) is float or (type(value) is int and -_LARGEST < value < _LARGEST):
        return value
    return value if type(value) is np.ndarray else _converted(loss, name, value)


def as_array(name: str, value: Any) -> Array:
    """What the core takes, as an array; errors name no loss."""
    try:
        array = np.asarray(as_input("", name, value))
    except TypeError as error:
        raise TypeError(str(error).removeprefix(": ")) from None
    if (array.dtype.kind not in "biuf" and not is_bfloat16(array.dtype)) or array.dtype == np.longdouble:
        raise TypeError(f"{name} has dtype {array.dtype}; expected a real floating, integer or bool array")
    return array


def spread(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """The array, broadcast."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {array.shape}, which does not broadcast to {shape}") from None


def _converted(loss: str, name: str, value: Any) -> Array:
    if value is None:
        raise TypeError(f"{loss}: {name} is None, expected an array")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{loss}: {name} is a masked array; pass its data, and its mask as sample_weight")
    device = _device(value)
    if device is not None:
        raise TypeError(f"{loss}: {name} is on device {device}, expected an array on the CPU")
    if isinstance(value, (str, bytes, dict, set)):
        raise TypeError(f"{loss}: {name} is a {type(value).__name__}, expected an array")
    try:
        if not hasattr(value, "__array__") and hasattr(value, "__dlpack__"):
            return np.asarray(np.from_dlpack(value))
        return np.asarray(value)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise TypeError(f"{loss}: {name} is a {type(value).__name__} that NumPy cannot read: {error}") from error


def _device(value: Any) -> str | None:
    """The name of a device other than the CPU, where the value can tell."""
    query = getattr(value, "__dlpack_device__", None)
    if query is None or isinstance(value, np.ndarray):
        return None
    kind = int(query()[0])
    cpu_kinds = (1, 3, 11)  # kDLCPU, and host memory pinned by CUDA or ROCm
    return None if kind in cpu_kinds else str(getattr(value, "device", f"of DLPack type {kind}"))


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Whether a dtype is ml_dtypes.bfloat16, without importing ml_dtypes."""
    module = sys.modules.get("ml_dtypes")
    return module is not None and dtype == module.bfloat16
