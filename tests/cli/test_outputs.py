"""Every verb keeps what it did not write, and writes its own results again without being asked twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.faults.places import contents
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.scenes.files import write_scenes

Args = list[object]
BENCH: Args = ["bench", "e.onnx", "--source", "p.png", "--groups", 1, "-n", 1, "--warmup", 0]
ANNOTATED: Args = ["--images", "set/images", "--annotations", "set/instances.json"]


def _make(folder: Path) -> None:
    from yolotrt.workflow.build import BuildRequest, build_engine

    write_tiny_yolo(folder / "m.onnx")
    engine = BuildRequest(folder / "m.onnx", backend="onnxruntime", output=folder / "e.onnx")
    build_engine(engine, say=lambda _: None)
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    cv2.imwrite(str(folder / "p.png"), picture)
    truth = write_scenes(folder / "set", 1, 0, (320, 240))
    truth.write_text(truth.read_text().replace('"disc"', '"cat"'))
    shutil.copy(truth, folder / "instances.json")
    (folder / "mine.json").write_text('{"mine": true}')
    (folder / "best.pt").write_bytes(b"PK\x03\x04 the only copy of the weights")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    _make(folder)
    return folder


@pytest.fixture
def place(inputs: Path, tmp_path: Path) -> Path:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    return tmp_path


ONTO_INPUTS: dict[str, Args] = {
    "predict --json, picture": ["predict", "e.onnx", "p.png", "--json", "p.png"],
    "predict --json, engine": ["predict", "e.onnx", "p.png", "--json", "e.onnx"],
    "predict --json, sidecar": ["predict", "e.onnx", "p.png", "--json", "e.onnx.json"],
    "predict --save, its folder": ["predict", "e.onnx", "set/images", "--save", "set/images"],
    "predict --save, the folder of the picture": ["predict", "e.onnx", "p.png", "--save", "."],
    "predict --save, a folder in the one that is read": ["predict", "e.onnx", "set", "--save", "set/images"],
    "mosaics --out, the annotations": [
        *("mosaics", "--images", "set/images", "--annotations", "instances.json", "--out", "."),
    ],
    "predict --json --save, one name": ["predict", "e.onnx", "p.png", "--save", "x", "--json", "x"],
    "bench -o, engine": [*BENCH, "-o", "e.onnx"],
    "bench -o, dots": [*BENCH, "-o", "set/../e.onnx"],
    "bench --csv, picture": [*BENCH, "--csv", "p.png"],
    "bench -o --json": [*BENCH, "-o", "r.json", "--json", "r.json"],
    "bench --html --markdown": [*BENCH, "--html", "r", "--markdown", "r"],
    "calibrate -o, network": ["calibrate", "m.onnx", "--images", "set/images", "-o", "m.onnx"],
    "calibrate --trt-cache, network": [
        *("calibrate", "m.onnx", "--images", "set/images", "--trt-cache", "m.onnx")
    ],
    "calibrate -o --trt-cache": [
        *("calibrate", "m.onnx", "--images", "set/images", "-o", "c", "--trt-cache", "c")
    ],
    "build -o, network": ["build", "m.onnx", "--fp16", "--backend", "onnxruntime", "-o", "m.onnx"],
    "build --json, network": ["build", "m.onnx", "--fp32", "--json", "m.onnx"],
    "build -o, sidecar": ["build", "m.onnx", "--fp32", "-o", "x", "--json", "x.json"],
    "build --json, its engine": [
        *("build", "m.onnx", "--fp32", "--backend", "onnxruntime"),
        *("--json", "engines/m.fp32.onnxruntime.onnx"),
    ],
    "build --json, its calibration": [
        *("build", "m.onnx", "--int8", "--images", "set/images", "--json", "calib_data/m.calib.json"),
    ],
    "demo --json, its result": ["demo", "--quick", "-o", "d", "--json", "d/result.json"],
    "build --log, network": ["build", "m.onnx", "--fp32", "--log", "m.onnx"],
    "export -o, weights": ["export", "best.pt", "-o", "best.pt"],
    "eval --json, annotations": ["eval", "e.onnx", *ANNOTATED, "--json", "set/instances.json"],
    "mosaics --out, the images": ["mosaics", *ANNOTATED, "--out", "set", "--size", "640x480"],
    "mosaics --out, their folder": ["mosaics", *ANNOTATED, "--out", "set/images", "--size", "640x480"],
    "scenes --out --video": [
        *("scenes", "--out", "d", "--video", "d/instances.json", "--count", 1, "--size", "320x240")
    ],
    "tune --state, network": ["tune", "m.onnx", "--state", "m.onnx"],
    "tune --state --json": ["tune", "m.onnx", "--state", "t.json", "--json", "t.json"],
    "run --json, pictures": [
        "run",
        "e.onnx",
        "--source",
        "set/images",
        "--json",
        "set/images/scene-000000.jpg",
    ],
    "inspect --json, file": ["inspect", "m.onnx", "--json", "m.onnx"],
    "profile --json, engine": ["profile", "e.onnx", "--json", "e.onnx"],
}


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)], ids=["", "overwrite"])
@pytest.mark.parametrize("name", ONTO_INPUTS)
def test_no_output_onto_an_input_or_another(
    cli: Cli, place: Path, name: str, overwrite: tuple[str, ...]
) -> None:
    before = contents(place)
    done = cli(*ONTO_INPUTS[name], *overwrite)
    assert done.code in (1, 2)
    assert "\nhint:  " in done.err
    after = contents(place)
    assert {k: after.get(k) for k in before} == before
    assert "warmup" not in done.err


@pytest.mark.parametrize("image", ["val/p.png", "val/p.txt", "train/p.png", "elsewhere/p.png"])
def test_the_images_of_a_description_are_inputs(cli: Cli, place: Path, image: str) -> None:
    yolo = place / "yolo"
    for folder in ("val", "train", "elsewhere"):
        (yolo / folder).mkdir(parents=True)
        shutil.copy(place / "p.png", yolo / folder)
    (yolo / "val" / "p.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (yolo / "data.yaml").write_text("train: train\nval: val\nnames: [cat, dog]\n")
    target = yolo / image
    before = target.read_bytes()
    done = cli("eval", "e.onnx", "--annotations", yolo / "data.yaml", "--json", target, "--overwrite")
    if image.startswith("elsewhere"):
        assert (done.code, json.loads(target.read_text())["mode"]) == (0, "tiled+global"), done.err
    else:
        assert (done.code, "which is read" in done.err) == (2, True), done.err
        assert target.read_bytes() == before


ONTO_OTHERS: dict[str, Args] = {
    "bench -o": [*BENCH, "-o", "mine.json"],
    "bench --html": [*BENCH, "--html", "mine.json"],
    "report --markdown": ["report", "r.json", "--markdown", "mine.json"],
    "build -o": ["build", "m.onnx", "--fp32", "--backend", "onnxruntime", "-o", "best.pt", "--force"],
    "build, sidecar": ["build", "m.onnx", "--fp32", "--backend", "onnxruntime", "-o", "mine"],
    "calibrate -o": ["calibrate", "m.onnx", "--images", "set/images", "-o", "mine.json"],
    "calibrate --trt-cache": ["calibrate", "m.onnx", "--images", "set/images", "--trt-cache", "mine.json"],
    "tune --state": ["tune", "m.onnx", "--state", "mine.json"],
    "doctor --json": ["doctor", "--json", "mine.json"],
    "inspect --json, result": ["inspect", "e.onnx", "--json", "mine.json"],
    "scenes --video": ["scenes", "--video", "video.mp4", "--seconds", 0.1, "--size", "320x240"],
    "scenes --out": ["scenes", "--out", "others", "--count", 1, "--size", "320x240"],
    "mosaics --out": ["mosaics", *ANNOTATED, "--out", "others", "--size", "640x480"],
    "predict --save": ["predict", "e.onnx", "p.png", "--save", "others"],
    "demo": ["demo", "--quick", "--out", "others"],
}


@pytest.mark.parametrize("name", ONTO_OTHERS)
def test_what_a_verb_did_not_write_stays(cli: Cli, place: Path, name: str) -> None:
    (place / "video.mp4").write_bytes(b"\0\0\0\x18ftyp my holidays")
    (place / "others" / "images").mkdir(parents=True)
    for file in ("instances.json", "images/scene-000000.jpg", "p.png", "report.html"):
        (place / "others" / file).write_text("mine")
    before = contents(place)
    done = cli(*ONTO_OTHERS[name])
    assert done.code == 1
    if name != "report --markdown":  # which misses its result as well
        assert "--overwrite" in done.err
    assert contents(place) == before


AGAIN: dict[str, Args] = {
    "bench": [*BENCH, "-o", "r.json", "--json", "j", "--html", "h", "--markdown", "m", "--csv", "c"],
    "calibrate": [
        *("calibrate", "m.onnx", "--images", "set/images", "-o", "c", "--trt-cache", "t", "--json", "j"),
        "--force",
    ],
    "build": [
        *("build", "m.onnx", "--fp32", "--backend", "onnxruntime", "-o", "x", "--json", "j", "--force"),
        *("--log", "l"),
    ],
    "eval": ["eval", "e.onnx", *ANNOTATED, "--json", "j"],
    "predict": ["predict", "e.onnx", "set/images", "--save", "found", "--json", "j"],
    "run": ["run", "e.onnx", "--source", "set/images", "--json", "j"],
    "scenes": [
        *("scenes", "--out", "d", "--count", 1, "--size", "320x240", "--json", "j"),
        *("--video", "video.mp4", "--seconds", 0.1),
    ],
    "mosaics": ["mosaics", *ANNOTATED, "--out", "mo", "--size", "640x480", "--json", "j"],
    "inspect": ["inspect", "m.onnx", "--json", "j"],
    "doctor": ["doctor", "--json", "j"],
    "tune": [
        *("tune", "m.onnx", "--precisions", "fp32", "--source", "p.png", "--groups", 1),
        *("--backend", "onnxruntime", "--json", "j"),
    ],
}


@pytest.mark.parametrize("name", AGAIN)
def test_every_result_is_written_again_as_easily(cli: Cli, place: Path, name: str) -> None:
    for _ in range(2):
        done = cli(*AGAIN[name])
        assert done.code == 0, done.err


@pytest.mark.parametrize("option", ["--json", "--jsonl", "--coco"])
def test_predictions_that_were_corrected_by_hand_stay(cli: Cli, place: Path, option: str) -> None:
    command = ("predict", "e.onnx", "p.png", "--mode", "global", option, "found.json")
    assert cli(*command).code == 0
    (place / "found.json").write_text('{"corrected": true}')
    assert cli(*command).code == 1
    assert (place / "found.json").read_text() == '{"corrected": true}'
    assert cli(*command, "--overwrite").code == 0


def test_a_file_that_is_waiting_empty_is_written(cli: Cli, place: Path) -> None:
    """As mktemp makes one."""
    (place / "found.json").touch()
    assert cli("predict", "e.onnx", "p.png", "--mode", "global", "--json", "found.json").code == 0


def test_reports_and_comparisons_are_written_again(cli: Cli, place: Path) -> None:
    assert cli(*BENCH, "-o", "r.json").code == 0
    wanted = ["--html", "h", "--csv", "c", "--markdown", "m"]
    for results in (["r.json"], ["r.json", "r.json"]):
        for _ in range(2):
            assert cli("report", *results, *wanted, "--json", f"j{len(results)}").code == 0
            assert cli("compare", "r.json", "r.json", "--markdown", "m2", "--json", "k").code in (0, 3)
    done = cli("report", "r.json", "--csv", "h")
    assert done.code == 1
    assert "is not a table of yolotrt" in done.err
    assert cli("report", "r.json", "--csv", "h", "--overwrite").code == 0
    assert (place / "h").read_text().startswith("engine,precision")


def test_of_two_models_of_one_name_each_has_its_own_engine(cli: Cli, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "best.onnx", tmp_path / "b" / "best.onnx"
    for path, seed in ((first, 0), (second, 1)):
        path.parent.mkdir()
        write_tiny_yolo(path, seed=seed)

    def build(model: Path, *options: str) -> tuple[Path, str]:
        arguments = ("build", model, "--fp32", "--backend", "onnxruntime", *options, "--json", "-")
        done = cli(*arguments)
        assert done.code == 0, done.err
        return Path(json.loads(done.out)["path"]), done.err

    one, _ = build(first)
    assert one.name == "best.fp32.onnxruntime.onnx"
    before = one.read_bytes()
    other, _ = build(second)
    assert one.read_bytes() == before
    assert other != one
    assert build(first)[0] == one
    assert build(second) == (other, build(second)[1])
    write_tiny_yolo(second, seed=2)  # trained again
    again, said = build(second)
    assert again == other
    assert "held earlier; it is replaced" in said
    assert read_engine(one).sources["onnx"] != read_engine(other).sources["onnx"]
    named, said = build(second, "-o", str(one))
    assert named == one
    assert "was built from another network" in said


def test_of_one_network_with_two_lists_of_classes_each_has_its_own_engine(cli: Cli, tmp_path: Path) -> None:
    """An engine carries the class names, so that it is another one where they differ."""
    made = []
    for folder, named in (("a", True), ("b", False), ("a", True)):
        (tmp_path / folder).mkdir(exist_ok=True)
        model = write_tiny_yolo(tmp_path / folder / "best.onnx", names=named)
        done = cli("build", model, "--fp32", "--backend", "onnxruntime", "--json", "-")
        assert done.code == 0, done.err
        made.append(Path(json.loads(done.out)["path"]))
    assert made[0] == made[2] != made[1]
    assert read_engine(made[0]).spec.names != read_engine(made[1]).spec.names
    done = cli("build", tmp_path / "b" / "best.onnx", "--fp32", "--backend", "onnxruntime", "-o", made[0])
    assert "was built from another network" in done.err


def test_of_two_models_of_one_name_each_has_its_own_calibration(cli: Cli, place: Path) -> None:
    (place / "b").mkdir()
    write_tiny_yolo(place / "b" / "m.onnx", seed=1)
    paths = []
    for model in ("m.onnx", "b/m.onnx", "m.onnx"):
        done = cli("calibrate", model, "--images", "set/images", "--json", "-")
        assert done.code == 0, done.err
        paths.append((json.loads(done.out)["path"], json.loads(done.out)["cached"]))
    assert paths[0][0] == paths[2][0] != paths[1][0]
    assert [cached for _, cached in paths] == [False, False, True]


def test_two_engines_of_one_name_are_told_apart_in_tables_and_results(cli: Cli, place: Path) -> None:
    names = []
    for folder, seed in (("a", 0), ("b", 1)):
        (place / "runs" / folder).mkdir(parents=True)
        names.append(write_tiny_yolo(place / "runs" / folder / "best.onnx", seed=seed))
    done = cli("bench", *names, *BENCH[2:], "--trust", "--mode", "global", "--json", "-")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert [case["case"]["engine"] for case in result["cases"]] == ["a/best.onnx", "b/best.onnx"]
    assert list(result["environment"]["engines"]) == ["a/best.onnx", "b/best.onnx"]
    done = cli("eval", names[0], "--reference", names[1], "--trust", *ANNOTATED, "--json", "-")
    assert [e["engine"] for e in json.loads(done.out)["engines"]] == ["b/best.onnx", "a/best.onnx"]


@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(lambda place: (place / "e.onnx.json").unlink(), id="no sidecar"),
        pytest.param(lambda place: shutil.copy(place / "b.onnx", place / "e.onnx"), id="another network"),
    ],
)
def test_no_hint_leads_over_what_was_given(cli: Cli, place: Path, break_it: Callable[[Path], object]) -> None:
    write_tiny_yolo(place / "b.onnx", seed=1)
    break_it(place)
    done = cli("predict", "e.onnx", "p.png")
    assert done.code == 1
    assert "-o e.onnx" not in done.err
    assert "yolotrt build e.onnx" in done.err
    before = (place / "e.onnx").read_bytes()
    done = cli("build", "m.onnx", "--fp32", "--backend", "onnxruntime", "-o", "e.onnx", "--force")
    assert done.code == 1
    assert (place / "e.onnx").read_bytes() == before


def test_weights_in_the_place_of_an_engine_are_never_named_as_output(cli: Cli, place: Path) -> None:
    done = cli("predict", "best.pt", "p.png")
    assert done.code == 1
    assert "-o" not in done.err.partition("hint:")[2]
    assert "yolotrt build best.pt" in done.err


@pytest.mark.parametrize("length", [247, 250, 251, 256])
def test_names_near_the_limit_work_or_are_refused_in_one_line(cli: Cli, place: Path, length: int) -> None:
    """A sidecar has five letters more, so 250 is the longest engine's name."""
    name = "n" * length
    built = cli("build", "m.onnx", "--fp32", "--backend", "onnxruntime", "-o", name)
    assert built.code == (0 if length <= 250 else 1), built.err
    made = cli("calibrate", "m.onnx", "--images", "set/images", "-o", name[:-1] + "x")
    assert made.code == (0 if length <= 255 else 1), made.err
    asked = cli("predict", name + "y", "p.png")
    assert asked.code == 1
    for done in (built, made, asked):
        assert done.err.count("error:") <= 1


def test_timings_beside_the_cache_that_was_named_are_an_output_too(cli: Cli, place: Path) -> None:
    (place / "mine.fused.json").write_text('{"mine": 1}')
    done = cli("build", "m.onnx", "--fp16", "--backend", "fused", "--timing-cache", "mine.cache")
    assert done.code == 1
    assert "Cannot write mine.fused.json" in done.err
    assert (place / "mine.fused.json").read_text() == '{"mine": 1}'
