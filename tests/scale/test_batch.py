"""A batch: planned, computed by processes, interrupted, continued; the same bytes whoever did it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from tests.conftest import four_pictures
from tests.data.clips import clip
from yolotrt.backends.sidecar import read_engine
from yolotrt.errors import ExecutionError, InputError, StorageError, UsageError
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import Frame, FrameResult, TiledPipeline
from yolotrt.scale.batch import run_batch
from yolotrt.scale.crew import Crew, Hand, Lost, Refused, Said
from yolotrt.scale.inputs import inputs
from yolotrt.scale.job import Job, result_path
from yolotrt.scale.plan import NAME, Shard, read_plan, write_plan
from yolotrt.scale.processes import started
from yolotrt.scale.run import Workers, batch
from yolotrt.workflow.batched import BatchReport, Request
from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_onnx: Path) -> Path:
    """A folder with an engine, four pictures, a video in two parts, and a list with one that is missing."""
    folder = tmp_path_factory.mktemp("batch")
    build_engine(BuildRequest(tiny_onnx, engines=folder), say=lambda _: None)
    (engine,) = folder.glob("*.onnx")
    engine.rename(folder / "e.onnx")
    engine.with_name(engine.name + ".json").rename(folder / "e.onnx.json")
    four_pictures(folder / "pictures")
    clip(folder / "clip.mp4", 8, options={"g": "4"})
    (folder / "list.txt").write_text("pictures/3.png\n\n# no more\nmissing.png\n")
    return folder


class HereCrew:
    """A crew in this process, which loses or refuses what a test says."""

    size = 2

    def __init__(self, job: Job, *, lose: dict[int, int] | None = None, broken: str | None = None) -> None:
        self._hand, self._broken = Hand(job), broken
        self._lose = dict(lose or {})
        self._said: list[tuple[int, Said | Lost]] = [(0, self._hand.begin()), (1, self._hand.begin())]
        self._given: dict[int, list[Shard]] = {0: [], 1: []}
        self.computed: list[int] = []

    def give(self, member: int, shard: Shard) -> None:
        self._given[member].append(shard)

    def listen(self, timeout_s: float) -> list[tuple[int, Said | Lost]]:
        if self._said:
            said, self._said = self._said, []
            return said
        member = max(self._given, key=lambda m: len(self._given[m]))  # the order is not that of the plan
        shard = self._given[member].pop(0)
        if self._lose.get(shard.index, 0):
            self._lose[shard.index] -= 1
            self._given[member].clear()
            self._said = [(member, self._hand.begin())]
            return [(member, Lost())]
        if self._broken:
            return [(member, Refused(shard.index, self._broken, "no"))]
        self.computed.append(shard.index)
        return [(member, self._hand.do(shard))]

    def close(self) -> None:
        """Nothing is held."""


def here(
    world: Path, out: Path, *, frames: int = 3, lose: dict[int, int] | None = None, broken: str | None = None
) -> tuple[BatchReport, list[int]]:
    """Run a batch in this process; return its report and which shards were computed, in order."""
    job = Job(str(world / "e.onnx"), PipelineSettings(), str(out))
    words = (str(world / "pictures"), str(world / "clip.mp4"), str(world / "list.txt"))
    out.mkdir(exist_ok=True)
    total = write_plan(out, Request("e", "0" * 64, {}, words, "jsonl", frames), inputs(words))
    crews: list[HereCrew] = []
    said: list[str] = []

    @contextmanager
    def hire() -> Iterator[Crew]:
        crews.append(HereCrew(job, lose=lose, broken=broken))
        yield crews[-1]

    report = run_batch(out, hire, total, layout_name="jsonl", say=said.append)
    assert sum("another takes its place" in line for line in said) == report.workers_lost
    return report, [index for crew in crews for index in crew.computed]


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "shards").iterdir())}


def test_lines_are_in_the_order_of_the_inputs_and_say_what_was_not_there(world: Path, tmp_path: Path) -> None:
    report, computed = here(world, tmp_path / "a")
    assert (report.shards, report.frames, report.frames_computed, report.unread) == (5, 14, 13, 1)
    assert computed != sorted(computed), "they were computed in another order"
    assert "missing.png does not exist" in str(report.first_unread)
    lines = [json.loads(line) for data in content(tmp_path / "a").values() for line in data.splitlines()]
    assert [line["image_id"] for line in lines] == list(range(1, 15))
    assert [Path(line["image"]).name for line in lines] == [
        *(f"{k}.png" for k in range(4)), *(f"clip.mp4#{k}" for k in range(8)), "3.png", "missing.png",
    ]  # fmt: skip
    assert [line["time_s"] for line in lines[4:12]] == [round(k / 25, 6) for k in range(8)]
    assert lines[3]["objects"] == lines[12]["objects"] != []


def test_after_a_kill_only_what_is_missing_is_computed_and_lost_workers_change_nothing(
    world: Path, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    here(world, whole)
    torn = tmp_path / "torn"
    shutil.copytree(whole, torn)
    names = sorted(content(torn))
    for name in (names[1], names[4]):
        (torn / "shards" / name).unlink()
    report, computed = here(world, torn, lose={1: 1, 4: 2})
    assert (report.reused, report.computed, report.workers_lost) == (3, 2, 3)
    assert sorted(computed) == [1, 4]
    assert content(torn) == content(whole)


def test_a_name_that_is_not_utf_8_and_files_beside_results_are_no_obstacle(
    world: Path, tmp_path: Path
) -> None:
    folder = four_pictures(tmp_path / "p")
    os.rename(folder / "0.png", os.fsencode(folder) + b"/caf\xe9.png")
    out = tmp_path / "found"
    for _ in range(2):
        words = [str(folder)]
        batch(read_engine(world / "e.onnx"), words, out, PipelineSettings(), Workers(1), say=lambda _: None)
        (out / "shards" / "mine.jsonl").write_text("{}")
        (folder / "1.png").unlink(missing_ok=True)
    assert (out / "shards" / "mine.jsonl").exists()
    with read_plan(out) as (_, shards):
        assert sum(len(shard.items) for shard in shards) == 3


def test_a_shard_that_ends_every_worker_is_given_up_and_named(world: Path, tmp_path: Path) -> None:
    report, computed = here(world, tmp_path / "a", lose={2: 99})
    assert (report.failed, len(report.failures), len(computed)) == (1, 1, 4)
    assert report.failures[0].first.endswith("clip.mp4")
    with pytest.raises(ExecutionError, match="in a row"):
        here(world, tmp_path / "b", lose=dict.fromkeys(range(5), 99))


def test_a_full_disk_stops_all_and_another_error_only_its_shard(world: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        here(world, tmp_path / "a", broken="StorageError")
    assert here(world, tmp_path / "b", broken="ExecutionError")[0].failed == 5


def test_the_plan_takes_hashes_over_and_follows_what_changed(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = four_pictures(tmp_path / "p")
    hashed: list[str] = []
    monkeypatch.setattr(
        "yolotrt.scale.plan.sha256_file", lambda path: (hashed.append(path.name), str(len(hashed)) * 64)[1]
    )

    def plan() -> list[str]:
        hashed.clear()
        request = Request("e", "0" * 64, {}, (str(folder),), "jsonl", 2)
        write_plan(tmp_path, request, inputs([str(folder)]))
        with read_plan(tmp_path) as (_, shards):
            return [shard.key for shard in shards]

    before = plan()
    assert len(hashed) == 4
    assert plan() == before
    assert hashed == []
    (folder / "1.png").unlink()
    shutil.copy(folder / "2.png", folder / "9.png")
    os.utime(folder / "3.png", ns=(1, 1))
    assert plan()[0] != before[0]
    assert hashed == ["3.png", "9.png"]


def test_processes_give_the_same_bytes_and_one_that_is_killed_is_replaced(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    words, killed = ["pictures", "clip.mp4"], list[int]()

    def progress(name: str, done: int, _total: int) -> None:
        """Kill a worker after the first shard; a real one, by its process id."""
        if name == "batch" and done and not killed:
            here = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
            worker = next(child for child in here if "yolotrt.scale.crew" in " ".join(child.cmdline()))
            killed.append(worker.pid)
            worker.send_signal(signal.SIGKILL)

    engine = read_engine(Path("e.onnx"))
    report = batch(
        engine, words, tmp_path / "two", PipelineSettings(), Workers(2), frames=1, progress=progress,
        say=lambda _: None,
    )  # fmt: skip
    # The killed one may have written its result, and not have said so.
    assert report.computed + report.reused == report.shards
    assert (report.failed, report.workers_lost) == (0, 1)
    job = Job("e.onnx", PipelineSettings(), str(tmp_path / "one"))
    (tmp_path / "one" / "shards").mkdir(parents=True)
    hand = Hand(job)
    hand.begin()
    with read_plan(tmp_path / "two") as (_, shards):
        for shard in shards:
            hand.do(shard)
            assert result_path(tmp_path / "one", shard, "jsonl").exists()
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_signals_to_all_processes_of_a_command_leave_the_started_ones_to_the_first(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process, pipe = started("yolotrt.scale.crew:work")
    both = (signal.SIGINT, signal.SIGTERM)
    for one in both:  # it has hardly begun
        process.send_signal(one)
    pipe.send(Job("none.onnx", PipelineSettings(), str(tmp_path)))
    assert isinstance(pipe.recv(), Refused)
    for one in both:
        process.send_signal(one)
    pipe.close()
    assert process.wait(60) == 0
    assert capfd.readouterr().err == ""


def test_pictures_of_one_size_are_looked_at_behind_each_other(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And their results stand in the order of the inputs."""
    for name, wh in (("a", (90, 70)), ("b", (70, 90)), ("c", (90, 70)), ("d", (70, 90))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((wh[1], wh[0], 3), 9, np.uint8))
    words = (str(tmp_path / "*.png"),)
    write_plan(tmp_path, Request("e", "0" * 64, {}, words, "jsonl", 4), inputs(words))
    (tmp_path / "shards").mkdir()
    hand, seen = Hand(Job(str(world / "e.onnx"), PipelineSettings("global"), str(tmp_path))), list[int]()
    hand.begin()
    look = TiledPipeline.__call__

    def noted(pipeline: TiledPipeline, frame: Frame) -> FrameResult:
        seen.append(frame.shape[0])
        return look(pipeline, frame)

    monkeypatch.setattr(TiledPipeline, "__call__", noted)
    with read_plan(tmp_path) as (_, shards):
        for shard in shards:
            hand.do(shard)
    assert seen == [70, 70, 90, 90]
    (lines,) = (path.read_text().splitlines() for path in (tmp_path / "shards").iterdir())
    assert [json.loads(line)["height"] for line in lines] == [70, 90, 70, 90]


def test_a_folder_of_something_else_is_refused(world: Path, tmp_path: Path) -> None:
    engine = read_engine(world / "e.onnx")
    words = [str(world / "list.txt")]

    def run(out: Path, **options: object) -> None:
        batch(engine, words, out, PipelineSettings(**options), Workers(1), say=lambda _: None)  # type: ignore[arg-type]

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").touch()
    with pytest.raises(StorageError, match="no batch wrote, such as notes"):
        run(tmp_path / "mine")
    with pytest.raises(UsageError, match="is what is read"):
        batch(engine, [str(world / "pictures")], world / "pictures", PipelineSettings(), Workers(1))
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match="list is empty"):
        batch(engine, [str(tmp_path / "empty.txt")], tmp_path / "e", PipelineSettings(), Workers(1))
    here(world, tmp_path / "other")
    with pytest.raises(StorageError, match="another batch \\(other engine"):
        run(tmp_path / "other")
    (tmp_path / "other" / NAME).write_text("{")
    with pytest.raises(StorageError, match="damaged"):
        run(tmp_path / "other")
