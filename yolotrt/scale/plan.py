"""The plan of a batch: a manifest of shards, each with the hashes of what it looks at.

It is a file of lines, written and read one by one: memory does not grow with the inputs. The first line says
what was asked for (:class:`yolotrt.workflow.batched.Request`), each further one is a :class:`Shard`. What a
shard is called follows from the content of its inputs, the engine and the settings, so whoever finds a result
of that name need not compute it again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.fields import Count, Sha256
from yolotrt.artifacts.files import atomic_target, require_file
from yolotrt.artifacts.hashing import content_key, sha256_file
from yolotrt.data.kinds import is_picture
from yolotrt.data.video_parts import VideoPart, video_parts
from yolotrt.errors import ArtifactError, InputError, YoloTrtError
from yolotrt.progress import Progress, no_progress
from yolotrt.scale.inputs import Input
from yolotrt.workflow.batched import PLAN, Request

NAME = "manifest.jsonl"


@dataclass(frozen=True)
class Item:
    """A file, or a part of one, as a shard holds it.

    Attributes:
        name: What it is called in results.
        path: Where it is.
        first_id: Id of its picture, or of the first frame of the whole video.
        sha256: Hash of the file; None if it could not be read.
        bytes: Its length.
        changed_ns: When it was changed, by its file system; with the length it tells whether to hash again.
        part: Which frames of a video; None for a picture.
        error: Why it cannot be read.
    """

    name: str
    path: str
    first_id: Count
    sha256: Sha256 | None = None
    bytes: Count = 0
    changed_ns: int = 0
    part: VideoPart | None = None
    error: str | None = None

    @property
    def frames(self) -> int:
        """How many frames it has, as far as the file says."""
        return 1 if self.part is None else self.part.frames


@dataclass(frozen=True)
class Shard:
    """What one worker computes at once and writes as one file.

    Attributes:
        index: Its place in the plan, from 0.
        key: Hash of all that decides its result.
        items: What it looks at.
    """

    index: Count
    key: Sha256
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """The name of its result, without an ending; by name, results are in the order of the inputs."""
        return f"{self.index:08d}-{self.key[:16]}"

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return sum(item.frames for item in self.items)


def write_plan(
    folder: Path, request: Request, found: Iterator[Input], *, progress: Progress = no_progress
) -> tuple[int, int]:
    """Write the manifest of a batch; of an earlier one hashes of unchanged files are taken over.

    Args:
        folder: Where it goes.
        request: What was asked for.
        found: The inputs.
        progress: Told how many inputs were looked at.

    Returns:
        How many shards and how many frames there are.

    Raises:
        InputError: There are no inputs.
        StorageError: It cannot be written.
    """
    target = folder / NAME
    earlier = _Earlier(folder)
    shards = frames = count = 0
    with atomic_target(target) as temporary, temporary.open("w", encoding="utf-8") as out:
        out.write(_line(PLAN.to_json(request)))
        held: list[Item] = []

        def close() -> None:
            nonlocal shards
            if held:
                out.write(_line(as_values(_shard(shards, request, tuple(held)))))
                shards += 1
                held.clear()

        for count, one in enumerate(found, 1):
            progress("plan", count, 0)
            for item in _items(one, frames + 1, request.frames, earlier):
                if item.part is not None:
                    close()  # a video's parts are shards of their own
                held.append(item)
                frames += item.frames
                if item.part is not None or len(held) >= request.frames:
                    close()
        close()
    if not count:
        raise InputError("There is nothing to look at: the list is empty.", hint="Name pictures or videos.")
    return shards, frames


@contextmanager
def read_plan(folder: Path) -> Iterator[tuple[Request, Iterator[Shard]]]:
    """Give the request of a plan and its shards, which are read as they are taken.

    Raises:
        InputError: There is none.
        ArtifactError: It is damaged, foreign or of another version.
    """
    path = folder / NAME
    with require_file(path, PLAN.what).open("rb") as lines:
        try:
            first = json.loads(next(lines, b"null"))
        except ValueError as exc:
            raise ArtifactError(f"{path} is damaged.", hint="Name another folder.") from exc
        request = PLAN.parse(path, first)

        def shards() -> Iterator[Shard]:
            for number, line in enumerate(lines, 2):
                try:
                    yield msgspec.convert(json.loads(line), Shard)  # names need not be UTF-8
                except (ValueError, msgspec.MsgspecError) as exc:
                    raise ArtifactError(
                        f"{path} is damaged in line {number}: {exc}.", hint="Delete it: results stay."
                    ) from exc

        yield request, shards()


def _line(values: Any) -> str:
    return json.dumps(values, allow_nan=False, separators=(",", ":")) + "\n"


def _shard(index: int, request: Request, items: tuple[Item, ...]) -> Shard:
    what = [
        {"name": i.name, "id": i.first_id, "sha256": i.sha256, "error": i.error, "part": as_values(i.part)}
        for i in items
    ]
    made = {"engine": request.engine_sha256, "settings": request.settings, "layout": request.layout}
    return Shard(index, content_key({"version": 1, **made, "items": what}), items)


class _Earlier:
    """The files of an earlier plan, taken side by side with those of the new one.

    A window bounds how far ahead a file is looked for, where others went or came.
    """

    WINDOW = 256

    def __init__(self, folder: Path) -> None:
        self._coming, self._window = _files(folder), deque[Item]()

    def sha256(self, path: Path, length: int, changed_ns: int) -> str | None:
        """Return the hash of a file that has not changed since; None if nothing is known of it."""
        self._window.extend(islice(self._coming, self.WINDOW - len(self._window)))
        place = next((at for at, item in enumerate(self._window) if item.path == str(path)), None)
        if place is None:
            return None
        for _ in range(place):
            self._window.popleft()
        found = self._window.popleft()
        return found.sha256 if (found.bytes, found.changed_ns) == (length, changed_ns) else None


def _files(folder: Path) -> Iterator[Item]:
    """Give each file of a plan once, in its order; nothing of one that cannot be read."""
    before = ""
    with suppress(YoloTrtError), read_plan(folder) as (_, shards):
        for shard in shards:
            for item in shard.items:
                if item.path != before:
                    yield item
                before = item.path


def _items(found: Input, first_id: int, at_least: int, earlier: _Earlier) -> Iterator[Item]:
    """Give a picture, or the parts of a video; what cannot be read is one item that says so."""
    path = found.path
    try:
        require_file(path, "a picture or video")
        state = path.stat()
        length, changed_ns = state.st_size, state.st_mtime_ns
        sha256 = found.sha256 or earlier.sha256(path, length, changed_ns) or sha256_file(path)
        parts = [None] if is_picture(path) else list[VideoPart | None](video_parts(path, at_least))
    except (YoloTrtError, OSError) as exc:
        said = exc.message if isinstance(exc, YoloTrtError) else str(exc)
        yield Item(found.name, str(path), first_id, error=said)
        return
    for part in parts:
        yield Item(found.name, str(path), first_id, sha256, length, changed_ns, part)
