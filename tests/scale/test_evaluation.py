"""Accuracy in parts, and options of verbs that work elsewhere."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from tests.workflow.test_evaluate import annotate
from yolotrt.backends.sidecar import read_engine
from yolotrt.errors import EnvironmentFault, UsageError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.pipeline.settings import PassMode, PipelineSettings
from yolotrt.scale.evaluation import Looker, _shares
from yolotrt.scale.measuring import Measurer, numbered, without
from yolotrt.scale.ray_crew import ActorShare
from yolotrt.scale.run import Workers
from yolotrt.workflow.evaluate import COCO_DECODE, evaluate_modes
from yolotrt.workflow.look import Judged, Looks


def test_parts_of_the_images_give_the_figures_of_all_to_the_bit(
    engine: Path, pictures: Path, tmp_path: Path
) -> None:
    file = read_engine(engine)
    truth = load_ground_truth(annotate(file, pictures, tmp_path / "a.json", "tiled"))
    modes: tuple[PassMode, ...] = ("global", "tiled")
    settings = PipelineSettings("tiled+global", decode=COCO_DECODE)

    def in_parts(*_: object) -> dict[PassMode, Judged]:
        looker = Looker(engine, truth, pictures, settings, modes, "cpu", False)
        looks = Looks(file, truth, settings, modes)
        for places in (range(2, 4), range(2)):  # in whatever order they come
            looks.absorb(pickle.loads(pickle.dumps(looker.look(places))))
        with pytest.raises(ValueError, match="was added before"):
            looks.absorb(looker.look(range(1)))
        looker.close()
        return looks.judged()

    whole = evaluate_modes([file], truth, pictures, modes=modes)
    parts = evaluate_modes([file], truth, pictures, modes=modes, judge=in_parts)
    for mode in modes:
        (one,), (other,) = whole[mode], parts[mode]
        assert other.evaluation.accuracy == one.evaluation.accuracy
        assert other.small_recall == one.small_recall
        assert len(other.seconds) == len(one.seconds) == 4


def test_options_of_this_machine_are_left_out() -> None:
    words = ["bench", "e", "--ray", "auto", "-o", "r.json", "--json=-", "-n", "3", "--output=x"]
    assert without(words, "--ray", "-o", "--output", "--json") == ["bench", "e", "-n", "3"]


def test_machines_are_told_apart_and_one_without_our_folder_says_so() -> None:
    assert numbered(["a", "b", "a"]) == ["a-1", "b", "a-2"]
    code, out, err = Measurer().run(["--version"], "/no/such/folder")
    assert (code, out, err[:7]) == (1, "", "error: ")


def test_no_more_workers_are_started_than_there_is_room_for() -> None:
    nodes = [{"CPU": 6.0, "GPU": 1.0}, {"CPU": 6.0}]
    assert _shares(nodes, Workers(16), 4) == (2, ActorShare(4))
    assert _shares(nodes, Workers(), 2) == (6, ActorShare(2))
    assert _shares(nodes, Workers(2, all_gpus=True), 4) == (2, ActorShare(1, 0.5))
    assert _shares(nodes, Workers(gpus=(0,)), 4) == (1, ActorShare(1, 1.0))
    with pytest.raises(EnvironmentFault, match="has 8 CPUs"):
        _shares(nodes, Workers(), 8)
    with pytest.raises(UsageError, match="no GPU"):
        _shares(nodes[1:], Workers(all_gpus=True), 1)


def test_what_needs_ray_says_so(cli: Cli, engine: Path, pictures: Path) -> None:
    done = cli("eval", engine, "--annotations", "a.json", "--images", pictures, "--workers", 2)
    assert done.code in (1, 2)
    assert cli("bench", engine, "--ray", "local", "--html", "p.html").code == 2
    both = cli("batch", engine, pictures, "-o", "found", "--gpus", "0", "--device", "cpu")
    assert (both.code, "both say where" in both.err) == (2, True)
    assert "needs --output" in cli("bench", engine, "--ray", "local").err


@pytest.mark.filterwarnings("ignore")
def test_over_a_cluster_accuracy_is_equal_and_latency_apart(
    cli: Cli, engine: Path, pictures: Path, tmp_path: Path
) -> None:
    """Through the program, on a cluster of its own."""
    pytest.importorskip("ray", reason="needs ray")
    truth = annotate(read_engine(engine), pictures, tmp_path / "a.json")
    given = ("eval", engine, "--annotations", truth, "--images", pictures, "--threads", 1)
    assert cli(*given, "--json", "local.json").code == 0
    done = cli(*given, "--json", "ray.json", "--ray", "local", "--workers", 2)
    assert done.code == 0, done.err
    written = (Path(name).read_text() for name in ("local.json", "ray.json"))
    local, other = (json.loads(text)["engines"][0] for text in written)
    assert other.pop("median_seconds") is None
    assert local.pop("median_seconds") > 0
    assert other == local
    assert cli(*given, "--ray", "local", "--device", "cuda:0").code == 1, "there is none, or it is too small"
    done = cli(
        "bench", os.path.relpath(engine), "--source", os.path.relpath(pictures / "0.png"),
        "-n", 2, "--warmup", 0, "--groups", 1, "--threads", 1, "--ray", "local", "-o", "r.json",
    )  # fmt: skip
    assert done.code == 0, done.err
    (result,) = Path().glob("r-*.json")
    assert json.loads(result.read_text())["cases"]
