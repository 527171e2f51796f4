"""``yolotrt eval`` from the command line: tables, gate, and what users get wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.foreign import suppressing
from tests.tiny_yolo import tiny_yolo, write_tiny_yolo
from tests.workflow.test_evaluate import annotate, tiny_engine
from yolotrt.workflow.build import BuildRequest, build_engine


@pytest.fixture
def engines(tmp_path: Path) -> tuple[Path, Path]:
    return tiny_engine(tmp_path).path, tiny_engine(tmp_path, seed=1).path


@pytest.fixture
def truth(tmp_path: Path, pictures: Path, engines: tuple[Path, Path]) -> Path:
    """What the first engine finds, as annotations."""
    return annotate(tiny_engine(tmp_path), pictures, tmp_path / "truth.json")


def test_passes_and_engines_side_by_side(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    given = ("--images", pictures, "--annotations", truth, "--threads", 1)
    done = cli("eval", *engines, *given, "--mode", "global,tiled", "--per-class", "--json", "r.json")
    assert done.code == 0, done.err
    assert all(text in done.out for text in ("tiled", "global", "per class"))
    assert json.loads(Path("r.json").read_text())["packages"]["opencv"]
    entries = json.loads(Path("r.json").read_text())["engines"]
    assert [e["mode"] for e in entries] == ["global", "global", "tiled", "tiled"]
    assert [e["comparison"] is None for e in entries] == [True, False, True, False]
    assert entries[0]["box"]["ap"] > 0.9 > entries[1]["box"]["ap"]
    assert all(0 < e["median_seconds"] < 60 for e in entries)
    other = cli("eval", engines[0], *given, "--mode", "tiled", "--json", "-", "--merge", "nms",
                "--merge-overlap", "iou-masks:0.3")  # fmt: skip
    assert json.loads(other.out)["engines"][0]["detections"] != entries[2]["detections"]


def test_a_loss_beyond_the_bound_has_exit_code_3(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    given = ("--images", pictures, "--annotations", truth, "--max-drop", "1%", "--threads", 1)
    lost = cli("eval", engines[1], *given, "--reference", engines[0])
    assert (lost.code, "more than 1%" in lost.err) == (3, True), lost.err
    won = cli("eval", engines[0], *given, "--reference", engines[1])
    assert (won.code, "held" in won.err) == (0, True), won.err
    fp32 = cli("eval", engines[1], *given, "--reference", "fp32")  # it is its own reference
    assert (fp32.code, "something to compare with" in fp32.err) == (2, True), fp32.err


def test_a_loss_that_so_few_images_cannot_tell_from_noise_is_an_error_of_its_own(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    """One picture of four without annotations of what is found there: it may be that one alone."""
    given = ("--images", pictures, "--annotations", truth, "--max-drop", "1%", "--threads", 1, "--limit", 1)
    lost = cli("eval", engines[1], *given, "--reference", engines[0])
    assert lost.code == 1, lost.err
    assert "error: Undecided" in lost.err
    assert "may be noise" in lost.err
    passed = cli("eval", engines[1], *given, "--reference", engines[0], "--undecided", "pass", "--json", "-")
    assert (passed.code, "--max-drop 1%: undecided" in passed.err) == (0, True), passed.err
    assert json.loads(passed.out)["max_drop"] == {"bound": "1%", "outcome": "undecided"}


def test_a_collapse_of_small_objects_is_seen_and_gated_on(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    document = json.loads(truth.read_text())
    for annotation in document["annotations"]:
        annotation["area"] = 900.0  # by which COCO's rules sort objects into sizes
    truth.write_text(json.dumps(document))
    given = ("--images", pictures, "--annotations", truth, "--reference", engines[0], "--threads", 1)
    lost = cli("eval", engines[1], *given, "--max-drop-small", "5%")
    assert (lost.code, "of small boxes' mAP" in lost.err) == (3, True), lost.err
    assert "more than 5% with a probability of 100%" in " ".join(lost.err.split())
    assert "small boxes" in lost.out
    assert "most points of box mAP lost" in lost.out
    kept = cli("eval", engines[0], *given[:4], "--reference", engines[1], "--max-drop-small", "5%")
    assert (kept.code, "--max-drop 5% of small boxes: held" in kept.err) == (0, True), kept.err
    for annotation in document["annotations"]:
        annotation["area"] = 5000.0
    truth.write_text(json.dumps(document))
    none = cli("eval", engines[1], *given, "--max-drop-small", "5%")
    assert (none.code, "None of the annotated objects is small" in none.err) == (1, True), none.err


def test_an_engine_of_another_input_size_is_compared_all_the_same(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path, tmp_path: Path
) -> None:
    onnx = write_tiny_yolo(tmp_path / "wide.onnx", size=96)
    wide = build_engine(BuildRequest(onnx, engines=tmp_path / "engines"), say=lambda _m: None).file.path
    done = cli("eval", engines[0], wide, "--images", pictures, "--annotations", truth, "--json", "-")
    assert done.code == 0, done.err
    assert json.loads(done.out)["engines"][1]["comparison"] is not None


def test_what_makes_figures_mean_something_else_is_said(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "nms.onnx").write_bytes(suppressing(tiny_yolo(), 0.25).SerializeToString())
    half = BuildRequest(tmp_path / "tiny0.onnx", "fp16", output=tmp_path / "half.onnx")
    build_engine(half, say=lambda _m: None)
    given = ("--images", pictures, "--annotations", truth, "--threads", 1)
    done = cli(
        "eval",
        engines[0],
        tmp_path / "half.onnx",
        tmp_path / "nms.onnx",
        *given,
        "--mode",
        "global",
        "--trust",
    )
    assert done.code == 0, done.err
    assert "warning: half.onnx is computed in FP32 here" in done.err
    assert "inside the graph with a threshold of 0.25" in done.err
    plain = cli("eval", engines[0], *given)
    assert "warning" not in plain.err


def test_what_is_left_out_is_said_once_and_written(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    document = json.loads(truth.read_text())
    document["annotations"][0]["image_id"] = 12345
    for annotation in document["annotations"]:
        del annotation["segmentation"]
    truth.write_text(json.dumps(document))
    given = ("--images", pictures, "--annotations", truth, "--mode", "global,tiled", "--threads", 1)
    done = cli("eval", *engines, *given, "--json", "-")
    assert done.code == 0, done.err
    total = len(document["annotations"])
    for count, what in ((1, "left out: of an unknown image"), (total - 1, "have no segmentation")):
        assert done.err.count(f"warning: {count} of {total} annotations {what}") == 1, done.err
    found = json.loads(done.out)
    assert len(found["notes"]) == 2
    assert all(e["mask"] is None and e["box"]["ap"] is not None for e in found["engines"])


def test_yolo_labels_go_wherever_annotations_go(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path, tmp_path: Path
) -> None:
    document = json.loads(truth.read_text())
    for image in document["images"]:
        rows = []
        for one in (a for a in document["annotations"] if a["image_id"] == image["id"]):
            x, y, w, h = one["bbox"]
            box = (
                (x + w / 2) / image["width"],
                (y + h / 2) / image["height"],
                w / image["width"],
                h / image["height"],
            )
            rows.append(" ".join(map(repr, (one["category_id"] - 1, *box))))
        (pictures / image["file_name"]).with_suffix(".txt").write_text("\n".join(rows))
    names = [category["name"] for category in document["categories"]]
    data = tmp_path / "data.yaml"
    data.write_text(f"train: {pictures.name}\nval: {pictures.name}\nnames: {json.dumps(names)}\n")
    found = {}
    for source, images in ((data, ()), (truth, ("--images", pictures))):
        done = cli("eval", engines[0], "--annotations", source, *images, "--json", "-", "--threads", 1)
        assert done.code == 0, done.err
        found[source] = json.loads(done.out)["engines"][0]["box"]["ap"]
    assert found[data] == pytest.approx(found[truth], abs=1e-6)
    composed = cli("mosaics", "--annotations", data, "--out", "m", "--size", "320x240")
    assert composed.code == 0, composed.err
    assert "segmentation" not in json.loads(Path("m/instances.json").read_text())["annotations"][0]
    calibrated = cli("calibrate", tmp_path / "tiny0.onnx", "--images", data, "--threads", 1)
    assert f"made from {len(document['images'])} images" in calibrated.out, calibrated.err
    for options, message in (
        (("--images", pictures), "says itself where its images are"),
        (("--split", "test"), "has no test images"),
        (("--split", "all"), "--split 'all' is unknown"),
    ):
        refused = cli("eval", engines[0], "--annotations", data, *options)
        assert message in refused.err
    assert "needs --images" in cli("mosaics", "--annotations", truth, "--out", "m").err


def _without_files(document: dict[str, Any]) -> None:
    for image in document["images"]:
        image["file_name"] = f"nowhere-{image['id']}.png"


def _without_objects(document: dict[str, Any]) -> None:
    document["annotations"] = []


def _without_images(document: dict[str, Any]) -> None:
    document["images"], document["annotations"] = [], []


def _of_other_classes(document: dict[str, Any]) -> None:
    for category in document["categories"]:
        category["name"] += " of another world"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_without_files, "pictures/nowhere-"),
        (_without_objects, "nothing to measure"),
        (_without_images, "list of images is empty"),
        (_of_other_classes, "None of the model's 2 classes"),
    ],
)
def test_unusable_annotations_are_one_clear_error(
    cli: Cli,
    engines: tuple[Path, Path],
    truth: Path,
    pictures: Path,
    spoil: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    document = json.loads(truth.read_text())
    spoil(document)
    truth.write_text(json.dumps(document))
    done = cli("eval", engines[0], "--images", pictures, "--annotations", truth)
    assert (done.code, "Traceback" in done.err) == (1, False)
    assert message in " ".join(done.err.split())


@pytest.mark.parametrize(
    "options",
    [
        ("--merge", "wbf"),
        ("--merge-overlap", "ios-boxes:0.5"),
        ("--merge", "nmm", "--merge-overlap", "0.5"),
        ("--merge", "nms", "--merge-overlap", "iou-boxes:1.5"),
        ("--mode", "sideways"),
        ("--max-drop", "1"),
        ("--max-drop-small", "1"),
    ],
)
def test_nonsense_has_exit_code_2(cli: Cli, engines: tuple[Path, Path], truth: Path, options) -> None:
    done = cli("eval", engines[0], "--images", ".", "--annotations", truth, *options)
    assert (done.code, "Traceback" in done.err) == (2, False), done.err


def test_several_gpus_are_refused_before_any_is_used(
    cli: Cli, engines: tuple[Path, Path], truth: Path, pictures: Path
) -> None:
    done = cli("eval", engines[0], "--images", pictures, "--annotations", truth, "--device", "cuda:0,1")
    assert done.code == 2
    assert "on one GPU" in done.err
    assert "--device cuda:0" in done.err


@pytest.mark.parametrize("option", [("--max-drop", "1%"), ("--reference", "fp32"), ("--per-class",)])
def test_what_says_nothing_of_videos_is_refused(
    cli: Cli, engines: tuple[Path, Path], truth: Path, option: tuple[str, ...]
) -> None:
    done = cli("eval", engines[0], "--video", "day.mp4", "--annotations", truth, *option)
    assert (done.code, "Traceback" in done.err) == (2, False)
    assert f"{option[0]} is for pictures" in done.err
