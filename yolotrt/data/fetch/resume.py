"""Whether a transfer can go on behind the bytes that an earlier one collected."""

from __future__ import annotations

from collections.abc import Callable

from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.response import Resource

Moved = Callable[[int], None]
"""Told how many bytes a partial file grew by; negative when collected bytes are thrown away."""


def earlier_version(partial: Partial, url: str, first: int, length: int | None) -> Resource | None:
    """Return the version that collected bytes belong to; None when they cannot be continued."""
    mark = partial.mark()
    total, version, md5 = mark.get("total"), mark.get("version"), mark.get("md5")
    same = (mark.get("url"), mark.get("first"), mark.get("length")) == (url, first, length)
    if not same or not isinstance(version, str) or not isinstance(total, int):
        return None
    if partial.size > (total if length is None else length):
        return None
    return Resource(total, bool(mark.get("ranges")), version, md5 if isinstance(md5, str) else None)


def belongs(partial: Partial, resource: Resource) -> bool:
    """Return whether collected bytes are of this version of a file."""
    mark = partial.mark()
    return (mark.get("total"), mark.get("version")) == (resource.total, resource.version)


def restart(partial: Partial, moved: Moved) -> None:
    """Throw collected bytes away."""
    moved(-partial.size)
    partial.discard()
