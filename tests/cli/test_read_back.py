"""Whatever is written is read back: by inspect, and by report, which shows it or says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.workflow.test_documents import SAMPLES
from tests.workflow.test_evaluate import tiny_engine
from yolotrt.artifacts.documents import read_json
from yolotrt.quantization.cache import read_ranges
from yolotrt.quantization.trt_table import trt_table
from yolotrt.report.shown import SHOWN
from yolotrt.workflow.documents import DOCUMENTS
from yolotrt.workflow.replies import INSPECTED


def test_every_file_is_read_back_whatever_it_is_called(cli: Cli, tmp_path: Path, pictures: Path) -> None:
    engine = tiny_engine(tmp_path).path
    predicted = ("--conf", 0.4, "--json", "p.txt", "--jsonl", "l.txt", "--coco", "c", "--save", "out")
    assert cli("predict", engine, pictures, *predicted).code == 0
    assert cli("scenes", "--count", 1, "--size", "256x256", "--out", "sc").code == 0
    (tmp_path / "t.table").write_text(trt_table(read_ranges(SAMPLES / "calibration.json")))
    (tmp_path / "nothing.json").write_text("[]")
    assert cli("inspect", engine, "--json", "i.json").code == 0
    kinds = {
        "p.txt": "predictions",
        "l.txt": "predictions, a frame a line",
        "c": "COCO annotations",
        "out/.yolotrt-files.json": "the list of what yolotrt wrote into a folder",
        "sc/instances.json": "COCO annotations",
        "t.table": "calibration table of TensorRT",
        "nothing.json": "empty list",
        "i.json": "what yolotrt inspect --json wrote",
        f"{engine}.json": "engine",
    }
    for name, kind in kinds.items():
        shown = cli("inspect", name, "--json", "-")
        assert shown.code == 0, shown.err
        assert json.loads(shown.out)["kind"] == kind
        refused = cli("report", name)
        assert refused.code == 1
        assert f"report has nothing to show of {name}: {kind}." in refused.err
        assert f"yolotrt inspect {name}" in refused.err


def test_what_inspect_writes_is_a_document(cli: Cli, tmp_path: Path) -> None:
    engine = tiny_engine(tmp_path).path
    assert cli("inspect", engine, "--json", "i.json").code == 0
    found = read_json(tmp_path / "i.json")
    assert (found["format"], found["version"], found["kind"]) == (INSPECTED.format, 1, "engine")
    assert INSPECTED.read(tmp_path / "i.json").found["backend"] == "onnxruntime"
    first = {"kind": found["kind"], **found["found"]}  # as it was written before it said what it is
    (tmp_path / "first.json").write_text(json.dumps(first))
    for name in ("i.json", "first.json"):
        assert json.loads(cli("inspect", name, "--json", "-").out)["found"]["of"] == first
        assert cli("inspect", engine, "--json", name).code == 0  # and may be replaced


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.name)
def test_report_shows_a_document_or_calls_it_what_it_is(cli: Cli, path: Path) -> None:
    (document,) = (known for known in DOCUMENTS if known.is_in(read_json(path)))
    done = cli("report", path)
    if document in SHOWN or document.what == "a benchmark result":
        assert done.code == 0, done.err
    else:
        assert done.code == 1
        assert "report has nothing to show of" in done.err
        assert "yolotrt inspect" in done.err


def test_a_line_that_is_no_frame_is_named(cli: Cli, tmp_path: Path) -> None:
    frame = {"image": "a.png", "width": 1, "height": 1, "objects": []}
    (tmp_path / "l.jsonl").write_text(f"{json.dumps(frame)}\n[1]\n")
    assert "l.jsonl:2 is no frame" in cli("inspect", "l.jsonl").err
