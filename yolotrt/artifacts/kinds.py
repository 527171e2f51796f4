"""Kinds of files that yolotrt writes, and how one of its own is recognised.

A file may be replaced by a new one of its kind, and by nothing else. It is recognised by its content: names
and endings are the user's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEAD = 4096
"""Bytes that are enough to recognise most kinds; it also finds those that are damaged further down."""

_LARGEST = 64 << 20
"""Bytes of the largest JSON file that is read whole to recognise it."""

HTML_MARK = '<meta name="generator" content="yolotrt">'
MARKDOWN_MARK = "<!-- written by yolotrt -->"


JUNIT_MARK = '<testsuites name="yolotrt'


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        what: What it is in words, such as "a benchmark result".
        is_own: Whether a file is one of these, written by yolotrt.
    """

    what: str
    is_own: Callable[[Path], bool]


def head_of(path: Path) -> bytes:
    """Return the beginning of a file; nothing if it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_HEAD)
    except OSError:
        return b""


def document(what: str, format: str, *, listed: bool = False) -> Kind:
    """Return the kind of our JSON documents of a format; a truncated one is still one of them.

    Args:
        what: What it is in words.
        format: The documents' format.
        listed: Whether a list of such documents is one, too.
    """
    begin = rb"\s*\[?\s*" if listed else rb"\s*"
    first = re.compile(begin + rb'\{\s*"format":\s*"' + re.escape(format.encode()) + rb'"')
    return Kind(what, lambda path: first.match(head_of(path)) is not None)


def marked(what: str, mark: str) -> Kind:
    """Return the kind of text files that hold a mark near their beginning."""
    return Kind(what, lambda path: mark.encode() in head_of(path))


def begins(what: str, beginning: str) -> Kind:
    """Return the kind of text files with this beginning."""
    return Kind(what, lambda path: head_of(path).startswith(beginning.encode()))


def json_with(what: str, *keys: Collection[str], fits: Callable[[Any], bool] = lambda _: True) -> Kind:
    """Return the kind of JSON objects that have all keys of one of several sets.

    Args:
        what: What it is in words.
        keys: Sets of keys; each tells what wrote such a file.
        fits: A further test of the object.
    """

    def is_own(path: Path) -> bool:
        try:
            if path.stat().st_size > _LARGEST:
                return False
            found = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        known = isinstance(found, dict) and any(found.keys() >= set(names) for names in keys)
        return known and fits(found)

    return Kind(what, is_own)


def either(first: Kind, *others: Kind) -> Kind:
    """Return the kind of files that are of one of several kinds, in the words of the first."""
    return Kind(first.what, lambda path: any(kind.is_own(path) for kind in (first, *others)))


def is_json(path: Path) -> bool:
    """Return whether a file looks like JSON or JSON Lines."""
    return head_of(path).lstrip()[:1] in (b"{", b"[")


HTML = marked("a page of yolotrt", HTML_MARK)
MARKDOWN = begins("Markdown of yolotrt", MARKDOWN_MARK)
JUNIT = marked("JUnit XML of yolotrt", JUNIT_MARK)
EDITED = Kind("a file to be edited", lambda _: True)
"""For files that are changed in place, where everything else in them is kept."""

_OTHERS = (b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
"""What archives (weights among them) and pictures begin with."""


def is_binary_of_no_known_kind(path: Path) -> bool:
    """Return whether a file is neither text nor an archive or a picture."""
    head = head_of(path)
    return b"\0" in head and not head.startswith(_OTHERS)
