"""A look at a serialised ONNX model without its weights, which are nearly all of it.

Searching all bytes of an engine for a handful of operator names takes longer than loading it. Fields of
protobuf's encoding carry their length, so the weights can be stepped over.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import NamedTuple

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Numbers of ``ModelProto.graph``, ``GraphProto.initializer`` and ``TensorProto.raw_data``."""

_FEW = 512
"""Bytes of an initializer that are sooner searched than stepped over."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Outlined(NamedTuple):
    """What is left of a serialised model without its weights; what is no model is left whole.

    Attributes:
        network: Everything but the main graph's initializers.
        initializers: Those, without their values: names, types, and where values lie in other files.
    """

    network: bytes
    initializers: bytes


def outline(data: bytes) -> Outlined:
    """Return a serialised model without its weights."""
    network: list[bytes] = []
    initializers: list[bytes] = []
    try:
        for number, begin, end in _fields(data, 0, len(data)):
            if number != _GRAPH:
                network.append(data[begin:end])
                continue
            for inner, first, last in _fields(data, begin, end):
                if inner != _INITIALIZER:
                    network.append(data[first:last])
                elif last - first < _FEW:
                    initializers.append(data[first:last])
                else:
                    values = _fields(data, first, last)
                    initializers += [data[a:b] for field, a, b in values if field != _RAW_DATA]
    except IndexError:
        return Outlined(data, b"")
    return Outlined(b"\n".join(network), b"\n".join(initializers))


def mentions(outlined: bytes, words: tuple[bytes, ...]) -> bool:
    """Whether a word, such as an operator's name, occurs in a part of an :class:`Outlined`."""
    return any(word in outlined for word in words)


def _fields(data: bytes, at: int, end: int) -> list[tuple[int, int, int]]:
    """Return number, begin and end of each field that has a length."""
    found = []
    while at < end:
        key, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        kind = key & 7
        if kind == _BYTES:
            size, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
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
