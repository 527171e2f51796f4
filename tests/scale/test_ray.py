"""A batch on actors of Ray: the bytes of a local one, also when a worker is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from yolotrt.backends.sidecar import read_engine
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.scale.crew import Hand
from yolotrt.scale.job import Job
from yolotrt.scale.plan import read_plan
from yolotrt.scale.run import Workers, batch


@pytest.mark.filterwarnings("ignore")
def test_actors_write_what_a_process_writes_and_one_that_is_killed_is_replaced(
    engine: Path, pictures: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="needs ray")
    psutil = pytest.importorskip("psutil")
    killed: list[int] = []

    def progress(name: str, done: int, _total: int) -> None:
        if name == "batch" and done and not killed:
            below = psutil.Process().children(recursive=True)  # those of other clusters are not ours to kill
            hands = [p for p in below if " ".join(p.cmdline()).startswith("ray::Hand")]
            killed.append(hands[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    out, alone = tmp_path / "ray", tmp_path / "alone"
    workers = Workers(1, ray="local")
    report = batch(
        read_engine(engine), [str(pictures)], out, PipelineSettings(), workers, frames=1, progress=progress,
        say=lambda _: None,
    )  # fmt: skip
    assert (report.computed + report.reused, report.failed, report.workers_lost) == (4, 0, 1)
    (alone / "shards").mkdir(parents=True)
    hand = Hand(Job(str(engine), PipelineSettings(), str(alone)))
    hand.begin()
    with read_plan(out) as (_, shards):
        for shard in shards:
            hand.do(shard)
    written = {path.name: path.read_bytes() for path in (out / "shards").iterdir()}
    assert written == {path.name: path.read_bytes() for path in (alone / "shards").iterdir()}
