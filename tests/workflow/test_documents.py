"""Files of earlier versions still load, and what is written follows the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from yolotrt.artifacts.documents import Document, read_json
from yolotrt.artifacts.schema import published, schema_name, schema_text
from yolotrt.bench.result import read_result, read_results
from yolotrt.errors import ArtifactError
from yolotrt.quantization.cache import read_ranges
from yolotrt.report.shown import read_shown, sayings, tables
from yolotrt.workflow.built import BUILT
from yolotrt.workflow.describe import describe
from yolotrt.workflow.documents import DOCUMENTS
from yolotrt.workflow.replies import VERIFIED

SAMPLES = Path(__file__).parent / "documents"
"""Written by earlier versions, two of each kind where the fields differ."""


def _document(path: Path) -> Document[Any]:
    (found,) = (document for document in DOCUMENTS if document.is_in(read_json(path)))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda d: d.format)
def test_the_published_schema_is_that_of_the_types(document: Document[Any]) -> None:
    """If it is not: make schemas."""
    assert published(document) == schema_text(document)
    jsonschema.Draft202012Validator.check_schema(json.loads(published(document)))


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.name)
def test_files_of_earlier_versions_are_read_and_written_as_this_one(path: Path, tmp_path: Path) -> None:
    document = _document(path)
    value = document.read(path)
    written = document.write(tmp_path / "again.json", value)
    jsonschema.validate(read_json(written), json.loads(published(document)))
    assert document.read(written) == value
    assert document.kind.is_own(path)
    assert document.kind.is_own(written)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.name)
def test_damaged_and_later_ones_are_refused_in_one_line(path: Path, tmp_path: Path) -> None:
    document, found = _document(path), read_json(path)
    target = tmp_path / "d.json"
    newer = {"format": document.format, **found, "version": document.version + 1}
    target.write_text(json.dumps(newer))
    with pytest.raises(ArtifactError, match=f"version {document.version + 1}; this yolotrt reads"):
        document.read(target)
    for field in found.keys() - {"format", "version", "metrics"}:
        nonsense = "nonsense" * 200 if isinstance(found[field], (list, dict)) else {"nonsense": []}
        target.write_text(json.dumps({**found, field: nonsense}))
        with pytest.raises(ArtifactError, match="is damaged") as caught:
            document.read(target)
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 500


def test_every_schema_has_a_file_of_its_own() -> None:
    assert len({schema_name(document) for document in DOCUMENTS}) == len(DOCUMENTS)


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.name)
def test_what_is_in_a_file_is_told_whichever_version_wrote_it(path: Path, tmp_path: Path) -> None:
    document = _document(path)
    written = document.write(tmp_path / path.name, document.read(path))
    assert describe(path) == describe(written)
    assert len(describe(path)) > 2


def test_what_has_no_place_to_say_what_it_is_is_told_too(tmp_path: Path) -> None:
    path, result = tmp_path / "p.json", read_json(SAMPLES / "result-cpu.json")
    record = {"image": "a.png", "category_id": 3, "category": "cat", "bbox": [1, 2, 3, 4], "score": 0.5}
    path.write_text(json.dumps([record]))
    assert describe(path) == {"kind": "predictions", "records": 1, "images": 1, "categories": {"cat": 1}}
    path.write_text(json.dumps([result, result]))
    assert len(describe(path)["results"]) == 2
    path.write_text(json.dumps(describe(SAMPLES / "calibration.json")))
    assert describe(path)["of"]["kind"] == "calibration cache"
    path.write_text("[{}]")
    with pytest.raises(ArtifactError, match="none of yolotrt's documents"):
        describe(path)


def test_results_written_as_a_list_are_read_as_one(tmp_path: Path) -> None:
    result, path = read_json(SAMPLES / "result-cpu.json"), tmp_path / "both.json"
    path.write_text(json.dumps([result, result]))
    assert read_results(path) == [read_result(SAMPLES / "result-cpu.json")] * 2
    with pytest.raises(ArtifactError, match="has 2 results, and one is wanted"):
        read_result(path)


@pytest.mark.parametrize("verb", ["accuracy", "run", "compare", "tune"])
@pytest.mark.parametrize("later", ["", "-later"])
def test_what_a_verb_showed_is_shown_again(verb: str, later: str, tmp_path: Path) -> None:
    path = SAMPLES / f"{verb}{later}.json"
    document, value = read_shown(path) or pytest.fail("nothing")
    assert read_shown(document.write(tmp_path / "today.json", value)) == (document, value)
    shown = list(tables(value, verb, 120))
    assert shown
    assert all(table.row_count for table in shown)
    assert all(isinstance(line, str) for line in sayings(value))


def test_results_are_not_shown_as_documents() -> None:
    assert read_shown(SAMPLES / "result-cpu.json") is None


def test_first_names_in_replies_and_files_are_read_as_those_of_today(tmp_path: Path) -> None:
    path = tmp_path / "first.json"
    bound = {"criterion": "c", "mode": "tiled", "bound": "1%", "reference": {}, "attempts": []}
    facts = {"path": "a", "backend": "b", "precision": "int8", "batches": [], "sha256": "s", "cached": False}
    path.write_text(json.dumps({**facts, "sources": {}, "promise": bound}))
    kept = BUILT.read(path).accuracy_bound
    assert kept is not None
    assert kept.bound == "1%"
    facts = {"folder": "f", "files": 1, "bytes": 2, "complete": True, "good": True, "problems": []}
    path.write_text(json.dumps({**facts, "strangers": ["a.jpg"], "unproven": 0, "request": {}}))
    assert VERIFIED.read(path).foreign_files == ("a.jpg",)
    assert set(read_ranges(SAMPLES / "calibration.json").noise) == {"cpu", "gpu"}


def test_dispatch_order_and_depth_are_told_apart_in_files_of_earlier_versions() -> None:
    case = read_result(SAMPLES / "result-gpu.json").cases[0].case
    assert (case.dispatch, case.order, case.depth) == ("graph", "after", 2)
    assert case.way == "graph, global after, depth 2"
