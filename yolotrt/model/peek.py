"""What weights say of themselves, read without loading them: a pickle is a program, and is not run here."""

from __future__ import annotations

import pickletools
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from yolotrt.errors import ModelError

_MOST = 64 << 20
"""Bytes of the largest pickle that is read; tensors lie beside it, in files of their own."""

_MEMO = ("BINPUT", "LONG_BINPUT", "PUT")
_RECALL = ("BINGET", "LONG_BINGET", "GET")

Token = tuple[str, object]


@dataclass(frozen=True)
class Peek:
    """What stands in a checkpoint.

    Attributes:
        network: The class of the network, such as ``ultralytics.nn.tasks.SegmentationModel``; None if there
            is none, as with bare tensors.
        classes: Names of the objects it finds; empty if it does not say.
        facts: What Ultralytics notes: version, date, licence.
        imports: Packages whose code it asks for when it is loaded.
    """

    network: str | None
    classes: tuple[str, ...]
    facts: dict[str, str]
    imports: tuple[str, ...]


def peek(path: Path) -> Peek:
    """Return what PyTorch weights say of themselves.

    Raises:
        ModelError: It is no PyTorch file, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl")
            if archive.getinfo(name).file_size > _MOST:
                raise ModelError(f"{path} has a larger description than weights have.", hint="Is it one?")
            tokens = _tokens(archive.read(name))
    except (OSError, zipfile.BadZipFile, StopIteration, ValueError, EOFError) as exc:
        raise ModelError(
            f"{path} cannot be read as PyTorch weights.", hint="It may be truncated; download it again."
        ) from exc
    named = [str(value) for kind, value in tokens if kind == "global"]
    networks = [name for name in named if name.startswith("ultralytics.") and name.endswith("Model")]
    packages = Counter(name.partition(".")[0] for name in named)
    return Peek(networks[0] if networks else None, _names(tokens), _facts(tokens), tuple(sorted(packages)))


def _tokens(data: bytes) -> list[Token]:
    """Return a pickle's strings, numbers, names of classes and marks of dicts, in order."""
    memo: dict[object, Token] = {}
    found: list[Token] = []
    for code, value, _ in pickletools.genops(data):
        name = code.name
        if name in _MEMO or name == "MEMOIZE":
            memo[len(memo) if name == "MEMOIZE" else value] = found[-1] if found else ("", None)
        elif name in _RECALL:
            found.append(memo.get(value, ("", None)))
        elif name == "GLOBAL":
            found.append(("global", str(value).replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            words = [str(v) for kind, v in found[-2:] if kind == "str"]
            found.append(("global", ".".join(words)))
        elif "UNICODE" in name or name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            found.append(("str", value))
        elif "INT" in name or "LONG" in name:
            found.append(("int", value))
        elif name in ("EMPTY_DICT", "SETITEM", "SETITEMS"):
            found.append((name, None))
        elif name != "MARK":
            found.append(("", value))
    return found


def _names(tokens: list[Token]) -> tuple[str, ...]:
    """Return the class names: the dict of numbers and strings behind ``names``."""
    best: list[str] = []
    for place, token in enumerate(tokens):
        if token != ("str", "names") or tokens[place + 1 : place + 2] != [("EMPTY_DICT", None)]:
            continue
        found: list[str] = []
        at = place + 2
        while at + 1 < len(tokens) and tokens[at] == ("int", len(found)) and tokens[at + 1][0] == "str":
            found.append(str(tokens[at + 1][1]))
            at += 2
        best = max(best, found, key=len)
    return tuple(best)


def _facts(tokens: list[Token]) -> dict[str, str]:
    facts = {}
    for key in ("version", "date", "license"):
        for token, following in pairwise(tokens):
            if token == ("str", key) and following[0] == "str":
                facts[key] = str(following[1])
    return facts
