"""Where calibrations are kept: one of a network under its name, and others of it beside, by their content.

``NAME.calib.json`` is the first one. Another choice of images, method or preprocessing for the same network
gets ``NAME-xxxxxxxx.calib.json``, with the first digits of its key: a trial on three images must not replace
what 166 were run for. The next content of the network replaces the first one, which is of no use any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from yolotrt.errors import YoloTrtError
from yolotrt.quantization.ranges import METHOD_VERSION, CalibrationKey, CalibrationRanges

Read = Callable[[Path], CalibrationRanges]

ENDING = ".calib.json"


def family(first: Path) -> list[Path]:
    """Return the calibrations that there are of one name, the first one first.

    Args:
        first: Where the first one is, or would be.
    """
    name = re.escape(first.name.removesuffix(ENDING))
    beside = re.compile(rf"{name}-[0-9a-f]{{8}}{re.escape(ENDING)}")
    found = sorted(path for path in first.parent.glob(f"*{ENDING}") if beside.fullmatch(path.name))
    return [first, *found] if first.exists() else found


def place_for(first: Path, key: CalibrationKey, read: Read) -> tuple[Path, tuple[str, ...]]:
    """Return the file that holds a calibration, or the one to put it into, and how the first one differs.

    Args:
        first: Where the first calibration of the network is, or would be.
        key: What the calibration is made from.
        read: Reads a file.
    """
    known = dict(_readable(family(first), read))
    for path, ranges in known.items():
        if not key.changes_since(ranges.key):
            return path, ()
    there = known.get(first)
    changed = () if there is None else key.changes_since(there.key)
    if there is None or {"model", "method"} & set(changed):
        return first, changed
    return first.with_name(f"{first.name.removesuffix(ENDING)}-{key.digest[:8]}{ENDING}"), changed


def of_network(first: Path, onnx: str, algorithm: str, read: Read) -> list[tuple[Path, CalibrationRanges]]:
    """Return the calibrations of a network, the one to be used first.

    That is the one of most images; among equals one by the wanted method, and then the newest.

    Args:
        first: Where the first one is, or would be.
        onnx: Content key of the network.
        algorithm: The wanted method.
        read: Reads a file.
    """

    def rank(entry: tuple[Path, CalibrationRanges]) -> tuple[bool, int, bool, float]:
        path, ranges = entry
        key = ranges.key
        current, images = key.method == METHOD_VERSION, len({digest for _, digest in key.images})
        return current, images, key.algorithm == algorithm, path.stat().st_mtime

    found = [entry for entry in _readable(family(first), read) if entry[1].key.onnx == onnx]
    return sorted(found, key=rank, reverse=True)


def _readable(paths: list[Path], read: Read) -> Iterator[tuple[Path, CalibrationRanges]]:
    for path in paths:
        try:
            yield path, read(path)
        except YoloTrtError:
            continue
