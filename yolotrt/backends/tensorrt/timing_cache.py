"""Timings of earlier builds, which make the next build of a similar network much faster.

The file is locked only while it is read and while it is written, so two builds can run side by side;
each adds what it measured to what is there by then. No trouble with the file is worth losing a build:
it is a warning.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.artifacts.claims import require_own
from yolotrt.artifacts.files import exclusive, write_bytes
from yolotrt.artifacts.folders import by_list, owning_file
from yolotrt.errors import StorageError

if TYPE_CHECKING:
    import tensorrt as trt

    from yolotrt.backends.tensorrt.library import Library


_MAKER = "yolotrt build --timing-cache"
OWN = by_list("a timing cache of this TensorRT", _MAKER)


def attach(library: Library, config: trt.IBuilderConfig, file: Path) -> None:
    """Let a build use and extend the timings in ``file``; one that does not fit is ignored with a warning."""
    cache = _read(library, config, file)
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        if cache is not None:
            _ignored(library, file)
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def save(library: Library, config: trt.IBuilderConfig, file: Path) -> None:
    """Merge the timings of a finished build into ``file``; a file that cannot be written is a warning.

    What cannot be read as timings is replaced only where yolotrt wrote it: it may be anything of the user's.
    """
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        with exclusive(file, library.log.warn):
            others = _parse(library, config, file)
            require_own(file, OWN, overwrite=others is not None)
            if others is not None:
                cache.combine(others, ignore_mismatch=False)
            with owning_file(file, _MAKER, option="--timing-cache", overwrite=True):
                write_bytes(file, bytes(memoryview(cache.serialize())))
    except StorageError as exc:
        library.log.warn(f"The timings of this build are not kept: {exc.message}")


def _read(library: Library, config: trt.IBuilderConfig, file: Path) -> trt.ITimingCache | None:
    try:
        with exclusive(file, library.log.warn):
            cache = _parse(library, config, file)
    except StorageError as exc:
        library.log.warn(f"The timing cache cannot be used: {exc.message}")
        return None
    if cache is None and file.exists():
        _ignored(library, file)
    return cache


def _parse(library: Library, config: trt.IBuilderConfig, file: Path) -> trt.ITimingCache | None:
    if not file.is_file():
        return None
    try:
        return config.create_timing_cache(file.read_bytes())
    except (RuntimeError, TypeError, OSError):  # the first two are what the bindings make of a refusal
        return None


def _ignored(library: Library, file: Path) -> None:
    library.log.warn(
        f"The timing cache {file} is damaged, of another version or GPU, or something else; it is ignored."
    )
