"""Files of earlier versions still load, and what is written follows the published schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from yolotrt.artifacts.documents import Document, read_json
from yolotrt.artifacts.schema import published, schema_name, schema_text
from yolotrt.errors import ArtifactError
from yolotrt.workflow.documents import DOCUMENTS

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
