"""The keys of an application's pipeline.yaml that say which engines run and how."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.files import write_bytes
from yolotrt.artifacts.yaml_text import Key, Scalar, YamlText
from yolotrt.errors import InputError
from yolotrt.pipeline.settings import DISPATCHES, Dispatch, PassMode

TILES_ENGINE: Key = ("models", "yolo_tiles", "engine")
TILES_ENABLED: Key = ("models", "yolo_tiles", "enabled")
GLOBAL_ENGINE: Key = ("models", "yolo_global", "engine")
GLOBAL_ENABLED: Key = ("models", "yolo_global", "enabled")
PARALLEL: Key = ("yolo_tiles_parallel", "enabled")
GROUPS: Key = ("yolo_tiles_parallel", "groups")
DISPATCH: Key = ("yolo_tiles_parallel", "dispatch")
"""Optional; where it is, it says more than ``enabled``: serial, threads, streams or graph."""


@dataclass(frozen=True)
class PipelineChoice:
    """What a pipeline.yaml stands for.

    Attributes:
        mode: Passes that are enabled.
        engines: Engine of the tiles, then that of the global pass if it has its own.
        dispatch: How groups run; without the key, ``threads`` if they run in parallel, else ``serial``.
        groups: Number of tile groups.
    """

    mode: PassMode
    engines: tuple[Path, ...]
    dispatch: Dispatch
    groups: int


def read_pipeline(path: Path) -> PipelineChoice:
    """Read the keys that matter here; all others are left alone.

    A model without ``enabled`` is enabled. Engine paths are relative to the folder of the file, or else to
    the current folder.

    Raises:
        InputError: The file is missing or no YAML, a value makes no sense or an engine is missing (they are
            named with their line), or nothing is enabled.
    """
    text = YamlText.read(path)
    tiles = _engine(text, TILES_ENGINE, TILES_ENABLED)
    global_engine = _engine(text, GLOBAL_ENGINE, GLOBAL_ENABLED)
    dispatch, groups = _dispatch(text)
    if tiles is None and global_engine is None:
        raise InputError(
            f"{path} enables no model.",
            hint="It needs models.yolo_tiles.engine or models.yolo_global.engine, not disabled.",
        )
    if tiles is None:
        assert global_engine is not None
        return PipelineChoice("global", (global_engine,), "serial", 1)
    mode: PassMode = "tiled" if global_engine is None else "tiled+global"
    engines = (tiles,) if global_engine in (None, tiles) else (tiles, global_engine)
    return PipelineChoice(mode, tuple(e for e in engines if e), dispatch, groups)


def update_pipeline(path: Path, changes: dict[Key, Scalar]) -> Path:
    """Change values in place, and return the backup of the file as it was.

    Comments, order, quotes, permissions and every other key stay as they are. The file is replaced in one
    step.

    Raises:
        InputError: The file or a place in it cannot be edited.
        StorageError: It cannot be written.
    """
    target = path.resolve()  # a link stays a link
    before = target.read_bytes() if target.is_file() else b""
    text = _changed(path, changes)
    mark = b"\xef\xbb\xbf" if before.startswith(b"\xef\xbb\xbf") else b""
    backup = _free_name(target)
    mode = stat.S_IMODE(target.stat().st_mode)
    write_bytes(backup, before, mode=mode)
    write_bytes(target, mark + text.text.encode(), mode=mode)
    return backup


def require_editable(path: Path, mode: str) -> None:
    """Find out before long work that its outcome can be written into a file.

    Args:
        path: The file.
        mode: The passes that will be run.

    Raises:
        InputError: The file or a place in it cannot be edited.
    """
    _changed(path, changes_for(path, mode, "engine", "graph", 1))


def changes_for(path: Path, mode: str, engine: str, dispatch: str, groups: int) -> dict[Key, Scalar]:
    """Return the changes that make a file run an engine in a way.

    Args:
        path: The file.
        mode: The passes that the engine runs; what the file says of others stays.
        engine: The engine, as the file names it.
        dispatch: How groups of tiles run.
        groups: Number of them.

    Raises:
        InputError: The file cannot be read.
    """
    changes: dict[Key, Scalar] = {}
    if "tiled" in mode:
        changes |= {TILES_ENGINE: engine, TILES_ENABLED: True, **group_changes(path, dispatch, groups)}
    if "global" in mode:
        changes |= {GLOBAL_ENGINE: engine, GLOBAL_ENABLED: True}
    return changes


def _changed(path: Path, changes: dict[Key, Scalar]) -> YamlText:
    text = YamlText.read(path)
    for key, value in changes.items():
        text = text.replaced(key, value)
    return text


def group_changes(path: Path, dispatch: str, groups: int) -> dict[Key, Scalar]:
    """Return the changes that make a file say how groups run.

    ``dispatch`` is among them only where it is there already or the other two keys cannot say it: without
    it, groups that are not parallel are one.

    Raises:
        InputError: The file cannot be read.
    """
    changes: dict[Key, Scalar] = {PARALLEL: dispatch != "serial", GROUPS: groups}
    plain = dispatch == "threads" or (dispatch == "serial" and groups == 1)
    if not plain or YamlText.read(path).get(DISPATCH) is not None:
        changes[DISPATCH] = dispatch
    return changes


def _dispatch(text: YamlText) -> tuple[Dispatch, int]:
    parallel = text.boolean(PARALLEL, default=False)
    groups = text.whole_number(GROUPS, default=1)
    word = text.string(DISPATCH)
    if word is None:
        return ("threads", groups) if parallel else ("serial", 1)
    for known in DISPATCHES[1:]:  # "auto" is no answer to the question
        if word == known:
            return known, groups
    node = text.get(DISPATCH)
    assert node is not None
    raise text.error(node, DISPATCH, f"must be one of {', '.join(DISPATCHES[1:])}, not {word!r}")


def _engine(text: YamlText, engine: Key, enabled: Key) -> Path | None:
    """Return the engine of an enabled model."""
    if text.mapping(engine[:-1]) is None or not text.boolean(enabled, default=True):
        return None
    name = text.string(engine)
    if not name:
        node = text.mapping(engine[:-1])
        assert node is not None
        raise text.error(node, engine, "is missing, but the model is enabled")
    for path in (text.path.parent / name, Path(name)):
        if os.path.exists(path):  # also False for what can be no path
            return path
    value = text.get(engine)
    assert value is not None
    raise text.error(
        value,
        engine,
        f"no such engine: {name!r}",
        hint=f"It is looked for in {text.path.resolve().parent} and in the current folder.",
    )


def _free_name(target: Path) -> Path:
    """Return the first free of NAME.bak, NAME.bak2, NAME.bak3: the oldest backup is the most precious."""
    count = 1
    while (backup := target.with_name(f"{target.name}.bak{count if count > 1 else ''}")).exists():
        count += 1
    return backup
