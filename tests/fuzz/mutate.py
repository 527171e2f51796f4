"""Damage a good file: its bytes, or (where it is JSON) its structure."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 1e308, -1e-308, 0.5),
    *("", "a", "../../x", "/etc/passwd", "a\0b", "\x1b[31m", "\ud800", "9" * 5000, "²", "nan", "x" * 100_000),
    *([], {}, [[]], [0], {"a": 0}, [None] * 3),
)
"""What no author of a good file would write."""

WORDS = (
    *(b"\xff" * 4, b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\xff" * 8),
    *(b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"),
    *(b"[" * 3000, b'{"a":' * 3000, b"(" * 300, b"- " * 3000),
    *(b"&a [*a]", b"<<: *g\n", b"!!python/object:os.system x", b"%TAG ! x\n", b"---\n", b"...\n", b"? "),
    *(b"NaN", b"-Infinity", b"1e999", b"9" * 5000, b"0x1p-3", b"\xc2\xb2", b"\xed\xa0\x80"),
    *(b"\r\n", b"\x85", b": ", b"\t", b"\0", b"'", b'"', b"#", b"location", b"../"),
)


def damaged(data: bytes, rng: random.Random, *, is_json: bool) -> bytes:
    """Return a damaged copy; the same generator state gives the same damage."""
    if is_json and rng.random() < 0.8:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            for _ in range(rng.choice((1, 1, 1, 2, 5))):
                document = _damaged_json(document, rng)
            return json.dumps(document).encode("utf-8", "surrogatepass")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        data = _damaged_bytes(data, rng)
    return data


def _damaged_json(document: Any, rng: random.Random) -> Any:
    document = copy.deepcopy(document)
    places: list[tuple[Any, Any]] = []
    nodes = [document]
    while nodes:
        node = nodes.pop()
        for key in node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
            places.append((node, key))
            nodes.append(node[key])
    if not places or rng.random() < 0.02:
        return rng.choice(VALUES)
    node, key = rng.choice(places)
    choice = rng.random()
    if choice < 0.6:
        node[key] = rng.choice(VALUES)
    elif choice < 0.75:
        other, name = rng.choice(places)
        node[key] = copy.deepcopy(other[name])
    elif choice < 0.9 or isinstance(node, list):
        del node[key]
    else:
        node[str(rng.choice(VALUES))[:100]] = node.pop(key)
    return document


def _damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.choice(WORDS)
    at = rng.randrange(len(data))
    size = rng.choice((1, 1, 2, 4, 8, 64))
    choice = rng.randrange(6)
    if choice == 0:
        return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    if choice == 1:
        return data[:at] + rng.choice(WORDS) + data[at:]
    if choice == 2:
        word = rng.choice(WORDS)
        return data[:at] + word + data[at + len(word) :]
    if choice == 3:
        return data[:at] + data[at + size :]
    if choice == 4:
        source = rng.randrange(len(data))
        return data[:at] + data[source : source + size] + data[at:]
    return data[:at]
