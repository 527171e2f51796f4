"""A group's tiles run in batches of a bounded size: memory does not grow with the frame."""

from __future__ import annotations

from yolotrt.backends.base import EngineFile
from yolotrt.geometry.tiles import split_groups

MOST_AT_ONCE = 32
"""Largest batch of an engine that takes any: the tiles of a 3840x2160 frame. What a network of 640 px
computes in between takes some 70 MB an image."""


def in_batches(tiles: range, file: EngineFile) -> list[range]:
    """Cut the tiles of a group into the batches that an engine runs them in.

    None is larger than the engine's largest profile, or :data:`MOST_AT_ONCE` where it takes any size. They
    are of even sizes where the engine takes those, and else as large as it can: six tiles are four, one and
    one where it has profiles for 1, 4 and 8.

    Args:
        tiles: Indices of the group's tiles.
        file: The engine.

    Returns:
        Neighbouring ranges that are together ``tiles``. One that is smaller than every profile is left for
        the engine to refuse.
    """
    accepted = file.takes
    count = -(-len(tiles) // max(accepted, default=MOST_AT_ONCE))
    sizes = [len(part) for part in split_groups(len(tiles), count)]
    if accepted and not set(sizes) <= set(accepted):
        sizes = _largest_first(len(tiles), accepted)
    found, begin = [], tiles.start
    for size in sizes:
        found.append(range(begin, begin + size))
        begin += size
    return found


def _largest_first(count: int, accepted: tuple[int, ...]) -> list[int]:
    sizes = []
    while count:
        sizes.append(max((size for size in accepted if size <= count), default=count))
        count -= sizes[-1]
    return sizes
