"""Numpy arrays from pickles, without running anything that the pickle asks for.

A pickle is a program. This one may name only what numpy arrays are made of, and each of these names is bound to a
stand-in that keeps its arguments: not even numpy's own code sees them before they have been checked.
"""

from __future__ import annotations

import io
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLAIN = {"b1", "?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}


class _StandIn:
    """Every name is bound to a class with ``__setstate__``, so that a pickle cannot alter what it is given."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Type(_StandIn):
    """``numpy.dtype(code, align, copy)`` with the state (version, byte order, ...)."""

    def resolve(self) -> np.dtype[Any]:
        code = self.arguments[0] if self.arguments else None
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if code not in _PLAIN:
            raise ValueError(f"its elements are {code!r}, not plain numbers")
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "|"
        order = order.decode("latin1") if isinstance(order, bytes) else order
        return np.dtype(f"{order}{code}" if order in ("<", ">") else code)


class _Reconstructed(_StandIn):
    """``_reconstruct(ndarray, (0,), b"b")`` with the state (version, shape, dtype, is_fortran, bytes)."""

    def resolve(self) -> NDArray[Any]:
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError("its array is incomplete")
        _, shape, kind, fortran, raw = self.state
        return _array(raw, kind, shape, "F" if fortran else "C")


class _FromBuffer(_StandIn):
    """``_frombuffer(bytes, dtype, shape, order)`` (protocol 5)."""

    def resolve(self) -> NDArray[Any]:
        if len(self.arguments) != 4:
            raise ValueError("its array is incomplete")
        raw, kind, shape, order = self.arguments
        return _array(raw, kind, shape, "F" if order == "F" else "C")


class _Encoded(_StandIn):
    """``codecs.encode(text, "latin1")``: how protocols 0 to 2 spell bytes."""

    def __new__(cls, text: Any = "", encoding: Any = "latin1") -> Any:
        if not isinstance(text, str) or encoding != "latin1":
            raise pickle.UnpicklingError("refused: it encodes text other than latin1")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], type[_StandIn]] = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstructed,
    ("numpy._core.multiarray", "_reconstruct"): _Reconstructed,
    ("numpy.core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy._core.numeric", "_frombuffer"): _FromBuffer,
    ("numpy", "ndarray"): _Reconstructed,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _Encoded,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"refused: it asks for {module}.{name}, and only numpy arrays are allowed"
            ) from None


def load_pickled_array(path: Path) -> NDArray[Any]:
    """The one array of numbers in a pickle (Python 2 or 3, numpy 1 or 2, any protocol).

    Raises ValueError for a pickle that asks for anything else, or is not whole.
    """
    try:
        # latin1: bytes of Python 2 arrive as text, one character a byte
        root = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if not isinstance(root, _Reconstructed | _FromBuffer):
            raise ValueError(f"it holds a {type(root).__name__}, not one numpy array")
        return root.resolve()
    except Exception as error:  # a broken pickle raises nearly anything
        raise ValueError(f"{path}: cannot use this pickle: {str(error) or type(error).__name__}") from None


def _array(raw: Any, kind: Any, shape: Any, order: str) -> NDArray[Any]:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(raw, bytes | bytearray) or not isinstance(kind, _Type):
        raise ValueError("its array is incomplete")
    dtype = kind.resolve()
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"its array has the shape {shape!r}")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"its array of shape {shape} does not have {len(raw)} bytes")
    flat = np.frombuffer(raw, dtype)
    return flat.reshape(shape[::-1]).T if order == "F" else flat.reshape(shape)
