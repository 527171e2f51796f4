"""What a worker does, wherever it is: it holds an engine, looks at a shard's items and writes the result."""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.data.coco.names import category_ids
from yolotrt.data.video_file import Moment
from yolotrt.data.video_parts import part_frames
from yolotrt.errors import ImageError, InputError, PictureWarning
from yolotrt.pipeline.adapters import Record
from yolotrt.pipeline.frames import as_frame
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.layouts import layout, write_records
from yolotrt.scale.plan import Item, Shard
from yolotrt.scale.reading import AGAIN, pictures_ahead
from yolotrt.workflow.identity import RecordIds
from yolotrt.workflow.predict import Found
from yolotrt.workflow.records import frame_record

SHARDS = "shards"
"""Folder of the results."""


@dataclass(frozen=True)
class Job:
    """What all workers of a batch are told; small enough to be sent anywhere.

    Attributes:
        engine: The engine's file.
        settings: How frames are cut, run, decoded and merged.
        folder: Where results go; every worker must see it.
        layout: How they are written.
        device: Where the engine runs.
        trust: Also load an engine that nothing vouches for.
    """

    engine: str
    settings: PipelineSettings
    folder: str
    layout: str = "jsonl"
    device: str = "auto"
    trust: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a shard went.

    Attributes:
        shard: Its number.
        frames: Frames that were looked at.
        objects: What was found in them.
        seconds: How long it took.
        unread: Inputs that could not be read.
        first_unread: What was wrong with the first one.
        was_there: Another worker had written it: nothing was computed.
        remarks: What had to be guessed about pictures, each kind once.
    """

    shard: int
    frames: int = 0
    objects: int = 0
    seconds: float = 0.0
    unread: int = 0
    first_unread: str | None = None
    was_there: bool = False
    remarks: tuple[str, ...] = ()


@dataclass
class _ShardCount:
    frames: int = 0
    objects: int = 0
    unread: list[str] = field(default_factory=list)


class Worker:
    """Computes shards, one after another. For one thread.

    Args:
        job: What is to be done.

    Raises:
        YoloTrtError: The engine does not load here.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        layout(job.layout)
        self._pipeline = TiledPipeline.open(
            job.engine, device=job.device, trust=job.trust, **vars(job.settings)
        )
        self._names = self._pipeline.names
        self._classes = tuple(category_ids(self._names))

    @property
    def where(self) -> str:
        """Machine and process."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def do(self, shard: Shard) -> Outcome:
        """Compute a shard and write its result under its name; one that is there already stays.

        Raises:
            InputError: An input is not what was planned.
            StorageError: The result cannot be written.
            ExecutionError: The engine failed.
        """
        target = result_path(Path(self._job.folder), shard, self._job.layout)
        if target.exists():
            return Outcome(shard.index, was_there=True)
        begin, tally = time.perf_counter(), _ShardCount()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", PictureWarning)
            records: list[list[Record]] = [[] for _ in shard.items]
            with pictures_ahead(shard.items) as coming:
                for place, picture in coming:
                    records[place] += self._look(shard.items[place], picture, tally)
        write_records(self._job.layout, list(chain.from_iterable(records)), target)
        kinds = {w.message.kind: str(w.message) for w in said if isinstance(w.message, PictureWarning)}
        return Outcome(
            shard.index,
            tally.frames,
            tally.objects,
            time.perf_counter() - begin,
            len(tally.unread),
            next(iter(tally.unread), None),
            remarks=tuple(kinds.values()),
        )

    def close(self) -> None:
        """Free the engine."""
        self._pipeline.close()

    def _look(self, item: Item, picture: Future[Frame] | None, tally: _ShardCount) -> Iterator[Record]:
        """Give a record for each frame of an item; what cannot be read has one, too, which says so."""
        try:
            for name, image, moment in _frames(item, picture):
                result = self._pipeline(image)
                number = item.first_id + (0 if moment is None else moment.index)
                ids = RecordIds({name: number}, self._classes, {})
                found = Found(name, result.frame_wh, result.detections, self._names, moment)
                tally.frames += 1
                tally.objects += len(result.detections)
                yield frame_record(found, ids)
        except ImageError as exc:  # of these bytes it will say the same again
            tally.unread.append(exc.message)
            number = item.first_id + (item.part.first if item.part else 0)
            yield {"image_id": number, "image": item.name, "error": exc.message, "objects": []}


def result_path(folder: Path, shard: Shard, layout_name: str) -> Path:
    """Return where the result of a shard is, or will be."""
    return folder / SHARDS / (shard.name + layout(layout_name).suffix)


def _frames(item: Item, picture: Future[Frame] | None) -> Iterator[tuple[str, Frame, Moment | None]]:
    if picture is not None:
        yield item.name, picture.result(), None
        return
    if item.error is not None:
        raise ImageError(item.error)
    assert item.part is not None, "an item without a part is a picture"
    path = Path(item.path)
    if not _as_planned(item, path):
        raise InputError(f"{item.name} was changed or removed after the batch was planned.", hint=AGAIN)
    came = False
    for found in part_frames(path, item.part):
        came = True
        yield f"{item.name}#{found.moment.index}", as_frame(found.image), found.moment
    if item.frames and not came:
        raise ImageError(f"{item.name}: frames from {item.part.first} on cannot be decoded.")


def _as_planned(item: Item, path: Path) -> bool:
    """Return whether a video is the one that was hashed, by length and time: a hash costs a reading."""
    try:
        state = path.stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (item.bytes, item.changed_ns)
