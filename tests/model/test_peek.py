"""What weights say of themselves, without being loaded."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli
from yolotrt.errors import ModelError
from yolotrt.model.peek import peek
from yolotrt.model.weights import is_published

DEMO = Path(__file__).parents[2] / "tools" / "demo-model" / "demo-yolo26-seg.pt"


class Trap:
    """Writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("sprung", "w")


def test_the_demo_models_weights() -> None:
    found = peek(DEMO)
    assert found.network == "ultralytics.nn.tasks.SegmentationModel"
    assert found.classes == ("disc", "ring", "square", "triangle", "star", "cross", "crescent", "heart")
    assert found.facts["version"].startswith("8.")
    assert "torch" in found.imports


def test_nothing_of_a_pickle_is_run(cli: Cli) -> None:
    with zipfile.ZipFile("trap.pt", "w") as archive:
        archive.writestr("trap/data.pkl", pickle.dumps({"model": Trap(), "names": {0: "a", 1: "a"}}))
    done = cli("inspect", "trap.pt")
    assert done.code == 0, done.err
    assert not Path("sprung").exists()
    assert "asks for code of" in done.out
    assert peek(Path("trap.pt")).classes == ("a", "a")


def test_what_is_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(DEMO.read_bytes()[:20_000])
    with pytest.raises(ModelError, match="cannot be read as PyTorch weights"):
        peek(path)


def test_whatever_is_written_is_described(cli: Cli, pictures: Path) -> None:
    Path("l.jsonl").write_text('{"image": "a", "objects": [{"category": "cat"}]}\n')
    Path("d.json").write_text('{"images": [{}], "annotations": [], "categories": []}')
    Path("m.md").write_text("<!-- written by yolotrt -->\nx\n")
    Path("t.cache").write_text("TRT-101300-EntropyCalibration2\na: 3f\n")
    Path("broken.jsonl").write_text("no JSON")
    said = {
        name: " ".join(cli("inspect", name).out.split()) for name in ("l.jsonl", "d.json", "m.md", "t.cache")
    }
    words = ("a frame a line", "COCO annotations", "Markdown of yolotrt", "calibration table")
    for name, word in zip(said, words, strict=True):
        assert word in said[name], name
    assert "200, 150" in cli("inspect", pictures / "0.png").out
    done = cli("inspect", "broken.jsonl")
    assert (done.code, "broken.jsonl:1 is no frame" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("name", "known"),
    [("yolo26n-seg.pt", True), ("yolov8x-seg.pt", True), ("yolo11n.pt", False), ("a/yolo11n-seg.pt", False)],
)
def test_names_of_published_weights(name: str, known: bool) -> None:
    assert is_published(name) == known


def test_weights_are_fetched_only_when_somebody_agrees(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr("yolotrt.model.weights.can_obtain", lambda: True)
    monkeypatch.setattr("yolotrt.model.weights.obtain_weights", asked.append)
    done = cli("export", "yolo26n-seg.pt")
    assert (done.code, "Add -y" in done.err, asked) == (1, True, [])
    done = cli("export", "yolo26n-seg.pt", "-y")
    assert (done.code, "could not fetch" in done.err) == (1, True)
    assert "github.com/ultralytics/assets/releases" in done.err
    assert asked == [Path("engines/yolo26n-seg.pt")]
    monkeypatch.setattr("yolotrt.model.weights.can_obtain", lambda: False)
    done = cli("export", "yolo26n-seg.pt", "-y")
    assert (done.code, "is not installed" in done.err) == (1, True)
