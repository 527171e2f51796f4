"""What people type who come from other tools."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.cli.console import LINE_S, Lines, span
from yolotrt.cli.habits import PREDICTED, as_option, called_here, rewritten, spaced_classes
from yolotrt.cli.libraries import missing_library
from yolotrt.cuda import nvidia, probe
from yolotrt.data.formats.reader import read_annotations
from yolotrt.errors import DeviceError, MissingDependency


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return tiny_engine(tmp_path).path


def test_values_may_be_left_out_and_quiet_goes_anywhere() -> None:
    assert rewritten(["predict", "a.jpg", "--save"]) == ["predict", "a.jpg", "--save", PREDICTED]
    assert rewritten(["predict", "--save", "-q", "a"]) == ["-q", "predict", "--save", PREDICTED, "a"]
    assert rewritten(["predict", "a", "--save", "d", "--max_det=5"]) == [
        "predict", "a", "--save", "d", "--max-det=5",
    ]  # fmt: skip
    assert rewritten(["run", "e", "--whole", "g", "v.mp4"]) == ["run", "e", "--global-engine", "g", "v.mp4"]
    assert rewritten(["run", "e", "--whole=g"]) == ["run", "e", "--global-engine=g"]
    assert as_option(["predict", "source=a.jpg"]) == ("--source", "a.jpg")
    assert as_option(["predict", "save_txt=True"]) == ("--save-txt", "")
    assert as_option(["bench", "--budget", "tiles=5ms"]) is None
    assert spaced_classes(["run", "--classes=person", "car", "-q"]) == ("person,car", "car")
    assert spaced_classes(["run", "--classes", "[0,", "2]", "v.mp4"]) == ("0,2", "2")
    assert spaced_classes(["run", "--classes", "0,2", "v.mp4", "2"]) is None
    assert "--hide-labels" in (called_here("predict", "--show_conf") or "")
    assert called_here("bench", "--batch") != called_here("predict", "--batch")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("build m.onnx --half", "--fp16"),
        ("bench --batch 4", "--groups"),
        ("calibrate m.onnx --data coco.yaml", "--images data.yaml"),
        ("bench --loadEngine=a.engine", "yolotrt bench ENGINE"),
        ("predict e.onnx source=a.jpg", "Type: --source a.jpg\n"),
        ("predict e.onnx a.jpg limit=3", "Type: --limit 3\n"),
        ("run e.onnx a.mp4 show=True", "Type: --show\n"),
        ("predict e.onnx a.jpg imgsz=640", "--imgsz is here: fixed in the engine"),
        ("predict model=e.onnx", "an ENGINE. One is made of e.onnx first: yolotrt build e.onnx --fp16 "),
        (
            "predict --weights=my.pt a.jpg",
            "--weights is here: the first word, an ENGINE. One is made of my.pt",
        ),
        (
            "bench --model_path w.pt",
            "first: yolotrt build w.pt --fp16   (on a processor --int8 --images DIR)",
        ),
        ("run --model a.engine v.mp4", "an ENGINE. Type: yolotrt run a.engine ..."),
        ("eval --model", "an ENGINE. Type: yolotrt eval ENGINE ..."),
        ("build --model w.pt", "--model is here: the first word: yolotrt VERB MODEL"),
        ("predict e.onnx a.jpg --save-json", "--json found.json --coco set.json"),
        ("val e.onnx", "val is here: yolotrt eval ENGINE --annotations FILE"),
        ("val model=w.pt data=coco.yaml", "val is here: yolotrt eval ENGINE --annotations FILE"),
        ("export m.onnx --int8", "yolotrt build MODEL --int8 (with --images DIR"),
        ("export w.pt --half", "chosen by yolotrt build, not by an export: yolotrt build MODEL --fp16"),
        ("export w.pt --fp16", "yolotrt build MODEL --fp16"),
        ("bench --budget end_to_end=4000", "--budget end_to_end=4000ms, or end_to_end=4000s"),
        ("predict e.onnx a.jpg -o r.json", "-o is here: --save DIR for pictures and videos, --json FILE"),
        ("run e.onnx a.mp4 --max-frames 9", "--max-frames is here: --duration"),
        ("export w.pt --opset 17", "--opset is not needed: it is the newest"),
        ("segment predict model=w.pt", "segment is here: yolotrt predict"),
        ("help", "help is here: yolotrt -h"),
        ("predict e.onnx a.jpg --classes 0 2", "Type: --classes 0,2 "),
        ("eval e.onnx", "Add --annotations: "),
        ("predict e.onnx a.jpg --slice_height 512", "the engine's input size"),
    ],
)
def test_what_others_call_it_is_told(cli: Cli, words: str, hint: str) -> None:
    done = cli(*words.split())
    assert (done.code, hint in done.err) == (2, True), done.err


def test_a_name_that_is_nearly_right_is_suggested(cli: Cli, pictures: Path) -> None:
    for words in (("predict", "picturs"), ("inspect", "picturs"), ("build", pictures / "0.npg")):
        done = cli(*words)
        assert done.code == 1, done.err
        assert f"Did you mean {'pictures? ' if words[1] == 'picturs' else pictures / '0.png'}" in done.err
    assert "Did you mean" not in cli("predict", "elsewhere/picturs").err


def test_the_newest_engine_that_runs_here_is_taken(cli: Cli, engine: Path, pictures: Path) -> None:
    sidecar = Path(f"{engine}.json").rename("e.onnx.json")
    engine = engine.rename("e.onnx")
    for name, backend in (("a.onnx", "onnxruntime"), ("b.onnx", "onnxruntime"), ("c.engine", "tensorrt")):
        (Path("engines") / name).write_bytes(engine.read_bytes())
        text = sidecar.read_text().replace('"onnxruntime"', f'"{backend}"', 1)
        (Path("engines") / f"{name}.json").write_text(text)
    for age, name in enumerate(("c.engine", "b.onnx", "a.onnx")):
        os.utime(f"engines/{name}.json", (1e9 - age, 1e9 - age))
    done = cli("predict", pictures / "0.png", "--conf", 0.4, "--save", "--save-txt", "--show-tiles")
    assert done.code == 0, done.err
    assert "engines/b.onnx (the newest of 2 in engines/ that can run here)" in done.err
    assert "name one to take it instead: engines/a.onnx" in done.err
    assert "left out: c.engine" in done.err
    assert done.out.rstrip().endswith(" ms)")
    assert Path(PREDICTED, "0.png").is_file()
    assert f"labels: {PREDICTED}/labels" in done.err
    labels = Path(PREDICTED, "labels", "0.txt").read_text().splitlines()
    assert labels
    assert cli("-q", "predict", pictures / "0.png").err == ""
    weights = cli("predict", "w.pt", pictures)
    assert "yolotrt build w.pt" in weights.err
    again = cli("predict", pictures / "0.png", "--save", "--save-txt")
    assert again.code == 0, "its own labels may be written again"


def test_classes_and_thresholds(cli: Cli, engine: Path, pictures: Path) -> None:
    def found(*options: object) -> str:
        done = cli("predict", engine, pictures / "0.png", "--conf", 0.4, "--threads", 1, *options)
        assert done.code == 0, done.err
        return done.out.split(": ")[1].split(" (")[0]

    both = dict(part.split(" ")[::-1] for part in found().split(", "))
    assert set(both) == {"cat", "dog"}
    assert found("--classes", "Dog") == f"{both['dog']} dog" == found("--classes", "1")
    agnostic = found("--agnostic", "--iou", 0.0)
    assert sum(int(part.split(" ")[0]) for part in agnostic.split(", ")) < sum(map(int, both.values()))
    done = cli("predict", engine, pictures, "--classes", "dgo")
    assert (done.code, "Did you mean 'dog'?" in done.err) == (2, True)
    done = cli("predict", engine, pictures, "--device", "0")
    assert (done.code, "Traceback" in done.err, "is no device" in done.err) == (1, False, False)


def test_labels_are_read_back_as_they_were(cli: Cli, engine: Path, pictures: Path) -> None:
    assert cli("predict", engine, pictures, "--conf", 0.4, "--save-txt", "--coco", "d.json").code == 0
    for folder in (Path("set/images/val"), Path("set/labels/val")):
        folder.mkdir(parents=True)
    for picture in pictures.glob("*.png"):
        (Path("set/images/val") / picture.name).write_bytes(picture.read_bytes())
    for label in Path(PREDICTED, "labels").glob("*.txt"):
        (Path("set/labels/val") / label.name).write_bytes(label.read_bytes())
    Path("set/data.yaml").write_text("path: .\nval: images/val\nnames: {0: cat, 1: dog}\n")
    ours, theirs = (read_annotations(Path(name)) for name in ("d.json", "set/data.yaml"))
    areas = [sorted(o.area for k in s.objects.values() for o in k if o.area) for s in (ours, theirs)]
    assert len(areas[0]) == len(areas[1]) > 3
    np.testing.assert_allclose(areas[0], areas[1], rtol=0.2, atol=12)  # a polygon has no holes


def test_labels_alone_draw_nothing(cli: Cli, engine: Path, pictures: Path) -> None:
    command = ("predict", engine, pictures / "0.png", "--conf", 0.4, "--save-txt")
    done = cli(*command)
    assert (done.code, "drawn: " in done.err, f"labels: {PREDICTED}/labels" in done.err) == (0, False, True)
    assert [path.name for path in Path(PREDICTED).glob("[!.]*")] == ["labels"]
    assert Path(PREDICTED, "labels", "0.txt").read_text()
    for more in (["--save"], [], ["--save"]):  # what it wrote itself stays its own
        assert cli(*command, *more).code == 0
    assert Path(PREDICTED, "0.png").is_file()


def test_progress_is_told_now_and_then_where_nobody_watches() -> None:
    said: list[str] = []
    clock = iter(int(second * 1e9) for second in (0, 0, 4, 12, 15, 23, 40))
    lines = Lines(said.append, lambda: next(clock))
    for done in range(6):
        lines.report("calibrate", done, 5)
    assert said == [
        "calibrate: 2 of 5 after 12 s, about 18 s left", "calibrate: 4 of 5 after 23 s, about 6 s left",
    ]  # fmt: skip
    assert LINE_S == 10
    assert [span(s) for s in (59, 200, 7500)] == ["59 s", "3 min 20 s", "2 h 5 min"]


def test_labels_that_find_no_place_leave_a_trace() -> None:
    from yolotrt.geometry.detections import Detections
    from yolotrt.report.draw import draw

    boxes = np.tile(np.array([[10, 60, 40, 90]], np.float32), (30, 1))
    found = Detections(boxes, np.linspace(0.9, 0.5, 30).astype(np.float32), np.zeros(30, np.int64))
    image = np.full((200, 320, 3), 90, np.uint8)
    few = draw(image, found.take([0]), ["person"])
    many = draw(image, found, ["person"])
    bare = draw(image, found, ["person"], labels=False)
    assert (few[185:] == 90).all()
    assert (many[190:] != 90).any()
    assert (bare[185:] == 90).all()
    assert cv2.countNonZero(cv2.cvtColor(draw(image, found, ["p"], line_width=6), cv2.COLOR_BGR2GRAY))


def test_words_in_any_order_and_places_that_are_none(cli: Cli, engine: Path, pictures: Path) -> None:
    picture = pictures / "0.png"
    behind = cli("predict", picture, engine, "--json", "found.json", "--groups", 4)
    assert behind.code == 0, behind.err
    two = cli("predict", engine, engine, picture)
    assert (two.code, "both name engines" in two.err) == (2, True)
    named = cli("predict", engine, picture, "--save", "x.jpg")
    assert (named.code, "--save x/" in named.err) == (2, True)
    missing = cli("bench", "e", picture)
    assert (missing.code, "e does not exist" in missing.err) == (1, True)
    mixed = cli("demo", "--out", pictures)
    assert (mixed.code, "that yolotrt demo did not write" in mixed.err) == (1, True)
    other = cli("compare", "found.json", "found.json")
    assert (other.code, "found.json is what yolotrt predict --json wrote" in other.err) == (1, True)
    both = cli("inspect", "found.json", picture)
    assert (both.code, "predictions" in both.out, "picture" in both.out) == (0, True, True)
    assert cli("inspect", "found.json", picture, "--json", "-").code == 2


def test_a_machine_without_a_driver_is_not_sent_for_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    monkeypatch.setattr(nvidia, "has_driver", lambda: False)
    monkeypatch.setattr(probe, "has_driver", lambda: False)
    assert nvidia.NvidiaDriver.count() == 0
    for ask in (probe.find_gpu, nvidia.NvidiaDriver):
        with pytest.raises(DeviceError, match="no NVIDIA driver"):
            ask()
    monkeypatch.setattr(probe, "has_driver", lambda: True)
    with pytest.raises(MissingDependency, match="cuda-bindings"):
        probe.find_gpu()


def test_a_library_that_the_system_lacks_is_no_bug() -> None:
    try:
        try:
            raise ImportError("libGL.so.1: cannot open shared object file: No such file", name="cv2")
        except ImportError as exc:
            raise RuntimeError("drawing failed") from exc
    except RuntimeError as exc:
        fault = missing_library(exc)
    assert fault is not None
    assert fault.message == "cv2 needs libGL.so.1, which this system lacks."
    assert "apt install libgl1 libglib2.0-0 " in (fault.hint or "")
    fault = missing_library(ImportError("libxcb.so.1: cannot open shared object file", name="cv2"))
    assert fault is not None
    assert "apt install libxcb1 libgl1" in (fault.hint or "")
    assert missing_library(ImportError("No module named 'x'", name="x")) is None


def test_doctor_goes_on_without_a_library_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2").mkdir()
    says = "libxcb.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({says!r}, name='cv2')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = subprocess.run([sys.executable, "-m", "yolotrt", "doctor"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime" in done.stdout
    assert "cv2 needs libxcb.so.1, which this system lacks." in done.stderr
    assert "pip install --force-reinstall --no-deps opencv-python-headless" in done.stderr
