"""Chosen tiles against all of them: what eval --video, tune --min-recall and the command lines say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.pipeline.test_tiled import on_cpu
from yolotrt.bench.case import Case
from yolotrt.data.scenes.footage_files import write_video
from yolotrt.errors import UsageError
from yolotrt.workflow.tile_trial import Percentiles
from yolotrt.workflow.tune.tiles_offer import LEAST_OBJECTS, TilesOffer, offer_tiles, the_clip

WH = (320, 200)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("clip") / "day.avi"
    truth = target.with_suffix(".json")
    write_video(target, 1, WH, footage="day", truth=truth, fps=10, seconds=0.8)
    truth.write_text(truth.read_text().replace('"disc"', '"cat"'))  # what the tiny network may find
    return target


def test_a_video_is_evaluated_with_all_tiles_and_with_chosen_ones(
    tiny_onnx: Path, clip: Path, tmp_path: Path, cli: Cli
) -> None:
    report = tmp_path / "video.json"
    options = ("--tiles", "adaptive:4", "--annotations", str(clip.with_suffix(".json")), "--trust")
    ran = cli("eval", str(tiny_onnx), "--video", str(clip), *options, "--json", str(report))
    assert ran.code == 0, ran.err
    assert "adaptive:4" in ran.out
    found = json.loads(report.read_text())
    assert (found["frames"], found["frame_wh"], found["video"]) == (8, list(WH), "day.avi")
    every, chosen = found["ways"]
    assert (every["tiles"], every["use"]) == ("all", None)
    assert chosen["use"]["frames"] == 8
    assert chosen["use"]["waited"] <= chosen["use"]["bound"] == 4
    assert 0 <= chosen["recall"] <= 1
    refused = cli("eval", str(tiny_onnx), "--annotations", "x.json", "--images", "x", "--tiles", "adaptive")
    assert "--video" in refused.err


def test_lines_and_pictures_say_what_was_carried(
    tiny_onnx: Path, clip: Path, tmp_path: Path, cli: Cli
) -> None:
    lines = tmp_path / "found.jsonl"
    options = ("--tiles", "adaptive", "--conf", "0.55", "--trust", "--save", str(tmp_path / "seen"))
    ran = cli("predict", str(tiny_onnx), str(clip), *options, "--jsonl", str(lines))
    assert ran.code == 0, ran.err
    assert "each at least every 15 frames" in ran.err
    frames = [json.loads(line) for line in lines.read_text().splitlines()]
    assert not any(thing["carried"] for thing in frames[0]["objects"])
    assert any(thing["carried"] for frame in frames for thing in frame["objects"])
    report = tmp_path / "run.json"
    ran = cli("run", str(tiny_onnx), str(clip), *options[:5], "--drop", "block", "--json", str(report))
    assert ran.code == 0, ran.err
    assert json.loads(report.read_text())["tiles"]["frames"] == 8


def test_tune_offers_what_finds_enough_on_the_clip(tiny_onnx: Path, clip: Path) -> None:
    case = Case("tiny", "fp32", "tiled", "serial", 1)
    offer = offer_tiles(on_cpu(tiny_onnx).file, "cpu", clip, case, 0.5, overlap=0.2, threads=1)
    assert (offer.clip, offer.frames) == ("day.avi", 8)
    assert offer.recall is not None
    assert 0.5 < offer.recall <= 1
    assert the_clip([str(clip)]) == clip
    with pytest.raises(UsageError, match="one video"):
        the_clip(["scene"])


def test_an_offer_needs_objects_the_bound_and_a_gain() -> None:
    good = TilesOffer("adaptive:15", "a.mp4", 96, LEAST_OBJECTS, 0.995, 0.99, 8.0, 32, 0.1, 0.4, 0.1)
    assert good.refusal is None
    assert good.words.startswith("offered: --tiles adaptive:15 on 96 frames of a.mp4: it finds 99.50%")
    for changes, said in (
        ({"objects": LEAST_OBJECTS - 1}, "cannot tell"),
        ({"recall": None}, "cannot tell"),
        ({"recall": 0.989}, "less than 99.00%"),
        ({"chosen_s": 0.4}, "not faster"),
    ):
        assert said in TilesOffer(**{**vars(good), **changes}).words  # type: ignore[arg-type]


def test_percentiles_are_whole_frames() -> None:
    assert Percentiles.of([]) is None
    found = Percentiles.of([0] * 18 + [2, 9])
    assert found is not None
    assert (found.count, found.p50, found.p95, found.most) == (20, 0, 2, 9)
