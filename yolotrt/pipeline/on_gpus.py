"""Which GPUs engines are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yolotrt.backends.base import Engine
from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.pipeline.device.share import Gpu


def gpus_of(engine: Engine, global_engine: Engine | None) -> list[Gpu]:
    """Return the GPUs that engines are on, with their engines; none if they are fed from the host."""
    tiles, globals_ = engine.parts, (global_engine or engine).parts
    if [e.device for e in tiles] != [e.device for e in globals_]:
        names = " and ".join(e.file.path.name for e in (engine, global_engine) if e)
        raise UsageError(
            f"{names} are on different devices.",
            hint="Build both for one: see --backend of yolotrt build, or use --device.",
        )
    if not tiles:
        return []
    from yolotrt.pipeline.device.share import Gpu  # a processor needs none of it

    return [Gpu(tile.device, tile, other) for tile, other in zip(tiles, globals_, strict=True)]
