"""What a batch was asked for and what came of it, as documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolotrt.artifacts.documents import Document
from yolotrt.artifacts.fields import Count, Load, Seconds, Sha256

REPORT = "report.json"
"""What the report is called in the folder of results."""


@dataclass(frozen=True)
class Request:
    """What decides the results of a batch.

    Attributes:
        engine: The engine's file.
        engine_sha256: Hash of its bytes.
        settings: How frames are cut, run, decoded and merged.
        inputs: The words that name the inputs.
        layout: How results are written.
        frames: Frames of a shard, at least; a video is cut at key frames only.
    """

    engine: str
    engine_sha256: Sha256
    settings: dict[str, Any]
    inputs: tuple[str, ...]
    layout: str
    frames: Count


@dataclass(frozen=True)
class WorkerShare:
    """What one worker did.

    Attributes:
        where: Machine and process.
        shards: Shards that it computed.
        frames: Frames in them.
        busy_s: Seconds that it computed.
        frames_per_s: Frames in a second of that.
    """

    where: str
    shards: Count
    frames: Count
    busy_s: Seconds
    frames_per_s: Load


@dataclass(frozen=True)
class Straggler:
    """A shard whose frames took far longer than usual.

    Attributes:
        shard: Its name.
        where: Who computed it.
        frames: Its frames.
        seconds: How long it took.
    """

    shard: str
    where: str
    frames: Count
    seconds: Seconds


@dataclass(frozen=True)
class FailedShard:
    """A shard without a result.

    Attributes:
        shard: Its name.
        first: Its first input.
        inputs: How many inputs it has.
        message: What went wrong.
    """

    shard: str
    first: str
    inputs: Count
    message: str


@dataclass(frozen=True)
class BatchReport:
    """What a run of a batch did, and what is there by now.

    Attributes:
        folder: Where the plan and the results are.
        shards: Shards of the plan.
        frames: Frames of the plan, as far as files say how many they have.
        computed: Shards that this run computed.
        reused: Shards whose results were there.
        failed: Shards without a result.
        failures: The first of these.
        frames_computed: Frames that this run looked at.
        objects: What it found in them.
        unread: Inputs in these shards that could not be read; their records say why.
        first_unread: What was wrong with the first one.
        workers_lost: Workers that ended before their time.
        seconds: How long the run took, without planning and what was done beside that.
        frames_per_s: Frames in a second of that, all workers together.
        workers: What each worker did.
        stragglers: The slowest shards, if they were far slower than others, a frame.
    """

    folder: str
    shards: Count
    frames: Count
    computed: Count
    reused: Count
    failed: Count
    failures: tuple[FailedShard, ...]
    frames_computed: Count
    objects: Count
    unread: Count
    first_unread: str | None
    workers_lost: Count
    seconds: Seconds
    frames_per_s: Load
    workers: tuple[WorkerShare, ...]
    stragglers: tuple[Straggler, ...]


PLAN = Document("yolotrt.batch-plan", 1, Request, "the plan of a batch")

BATCH = Document("yolotrt.batch.reply", 1, BatchReport, "what came of a batch")
