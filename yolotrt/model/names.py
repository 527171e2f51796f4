"""Class names as exporters write them into a file's metadata."""

from __future__ import annotations

import ast
import contextlib
import json
import re
from typing import Any

from yolotrt.errors import ModelError

MAX_METADATA_CHARS = 1_000_000
"""Longest metadata value that is parsed; class lists are a few kilobytes."""

MAX_BRACKETS = 64
"""A class list has two brackets; apostrophes in names may uncover some more."""

UNKNOWN_COUNT = 1000
"""Class numbers that are named where neither metadata nor head say how many classes there are."""

_MISSING = ("", "{}", "[]", "None", "null")


def numbered(count: int | None) -> tuple[str, ...]:
    """Return the names of classes that have none; ``count`` None is a number that is not known."""
    return tuple(f"class{i}" for i in range(UNKNOWN_COUNT if count is None else count))


def class_names(text: str | None, classes: int | None, model_name: str) -> tuple[str, ...]:
    """Read a ``names`` property: a Python literal ``{0: 'person', ...}`` as of Ultralytics, JSON, or a list.

    Args:
        text: The property; class numbers are the names without one.
        classes: Number of classes of the head; None where the head does not tell.
        model_name: What to call the network in a message.

    Raises:
        ModelError: It is no class list, or not that of this head.
    """
    if text is None or text.strip() in _MISSING:
        return numbered(classes)
    found = parse_names(text)
    if found is None:
        raise ModelError(
            f"{model_name} carries a class list that cannot be read.",
            hint="Export it again: yolotrt export WEIGHTS.pt",
        )
    if classes is not None and classes != len(found):
        objectness = " (one more: an objectness column?)" if classes == len(found) + 1 else ""
        raise ModelError(
            f"{model_name} carries a class list that does not fit its head: {len(found)} names for "
            f"{classes} classes{objectness}.",
            hint="Export it again: yolotrt export WEIGHTS.pt",
        )
    return found


def parse_names(text: str) -> tuple[str, ...] | None:
    """Return the names in a ``names`` property, or None if it is no class list."""
    value: Any = None
    # Python's parser recurses: a flat list needs few brackets and signs outside its texts.
    flat = re.sub(r"'[^']*'|\"[^\"]*\"", "", text[: MAX_METADATA_CHARS + 1])
    if len(text) > MAX_METADATA_CHARS or sum(map(flat.count, "([{+-~")) > MAX_BRACKETS:
        return None
    with contextlib.suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        value = ast.literal_eval(text.strip())
    if value is None:  # JSON's escapes are not all Python's
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(text)
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict):
        return None
    by_index = {_index(key): name for key, name in value.items()}
    if len(by_index) < len(value) or set(by_index) != set(range(len(value))):
        return None
    names = tuple(by_index[i] for i in range(len(value)))
    return names if all(isinstance(name, str) for name in names) else None


def _index(key: Any) -> Any:
    """Return a key as a class number; JSON's keys are texts."""
    return int(key) if isinstance(key, str) and re.fullmatch(r"0|[1-9][0-9]{0,6}", key, re.ASCII) else key
