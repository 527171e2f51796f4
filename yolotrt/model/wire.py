"""A look at a serialised ONNX model without its weights, which are nearly all of it.

Searching all bytes of an engine for a handful of operator names takes longer than loading it. Fields of
protobuf's encoding carry their length, so the weights can be stepped over.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

_GRAPH, _INITIALIZER = 7, 5
"""Numbers of ``ModelProto.graph`` and ``GraphProto.initializer``."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def outline(data: bytes) -> bytes:
    """Return a serialised model without the main graph's initializers; what is no model, whole."""
    try:
        return b"\n".join([data[a:b] for a, b in _without_weights(data)])
    except IndexError:
        return data


def mentions(outlined: bytes, words: tuple[bytes, ...]) -> bool:
    """Whether a word, such as an operator's name, occurs in what :func:`outline` left of a model."""
    return any(word in outlined for word in words)


def _without_weights(data: bytes) -> list[tuple[int, int]]:
    """Return where everything but the main graph's initializers lies; IndexError if it is no model."""
    found: list[tuple[int, int]] = []
    for number, begin, end in _fields(data, 0, len(data)):
        if number == _GRAPH:
            inner = _fields(data, begin, end)
            found += [(a, b) for inner_number, a, b in inner if inner_number != _INITIALIZER]
        else:
            found.append((begin, end))
    return found


def _fields(data: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """Return number, begin and end of each field that has a length."""
    found = []
    while at < end:
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = _varint(data, at)
            found.append((key >> 3, at, at + size))
            at += size
        elif kind == _VARINT:
            _, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise IndexError(at)
    if at != end:
        raise IndexError(at)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError(at)
