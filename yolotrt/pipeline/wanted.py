"""What of a frame's detections comes out: classes that were asked for, one object at each place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from yolotrt.errors import UsageError
from yolotrt.geometry.detections import Detections
from yolotrt.geometry.merge import nms
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.text import closest


def resolved(settings: PipelineSettings, names: Sequence[str]) -> PipelineSettings:
    """Return settings with classes as indices.

    Args:
        settings: Classes by name, in any case, or index.
        names: Of the network, by index.

    Raises:
        UsageError: The network has no such class.
    """
    if settings.classes is None:
        return settings
    given = (settings.classes,) if isinstance(settings.classes, str) else settings.classes
    return replace(settings, classes=tuple(_index(one, names) for one in given))


def wanted(found: Detections, settings: PipelineSettings) -> Detections:
    """Return what comes out of a frame, best first; see :class:`PipelineSettings`.

    Args:
        found: Merged detections, best first.
        settings: Classes are indices; see :func:`resolved`.
    """
    if found.scores.size and found.scores.min() <= settings.decode.conf:  # merging may have halved some
        found = found.take(found.scores > settings.decode.conf)
    if settings.agnostic:
        one_class = np.zeros(len(found), np.int64)
        found = found.take(nms(found.boxes, found.scores, one_class, settings.decode.iou))
    if settings.classes is not None:
        found = found.take(np.isin(found.classes, np.array(settings.classes, np.int64)))
    return found


def _index(one: int | str, names: Sequence[str]) -> int:
    if not isinstance(one, str):  # of Python or of NumPy
        if 0 <= one < len(names):
            return int(one)
        raise UsageError(
            f"The network has no class {one}.", hint=f"It has {len(names)}, from 0 ({names[0]}) on."
        )
    plain = [name.casefold() for name in names]
    if one.casefold() in plain:
        return plain.index(one.casefold())
    if one.isdecimal():
        return _index(int(one), names)
    near = closest(one, names)
    raise UsageError(
        f"The network has no class {one!r}.",
        hint=f"Did you mean {near!r}?"
        if near
        else f"It has: {', '.join(names[:8])}" + (f", ... ({len(names)})." if len(names) > 8 else "."),
    )
