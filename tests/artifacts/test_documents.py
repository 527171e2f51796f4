from __future__ import annotations

import json
from pathlib import Path

import pytest

from yolotrt.artifacts.documents import read_document, read_json, write_document
from yolotrt.artifacts.hashing import content_key, sha256_bytes, sha256_file
from yolotrt.errors import ArtifactError, InputError


def test_round_trip(tmp_path: Path) -> None:
    path = write_document(tmp_path / "a.json", format="x", version=2, body={"k": [1, None, "é"]})
    assert read_document(path, format="x", version=2)["k"] == [1, None, "é"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not valid JSON"),
        ('{"format": "x", "version": 1', "not valid JSON"),
        ("[1, 2]", "not a x file"),
        ('{"format": "y", "version": 1}', "not a x file"),
        ('{"format": "x", "version": 7}', "version 7"),
        ('{"format": "x", "version": NaN}', "not valid JSON"),
        ('{"format": "x", "version": 1e999}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_broken_and_foreign_documents_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=message):
        read_document(path, format="x", version=1)


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArtifactError):
        read_json(path)
    with pytest.raises(InputError):
        read_json(tmp_path / "no.json")


def test_nan_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range"):
        write_document(tmp_path / "a.json", format="x", version=1, body={"v": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_keys_do_not_depend_on_order() -> None:
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})


def test_file_hash_equals_byte_hash(tmp_path: Path) -> None:
    data = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(data)
    assert sha256_file(tmp_path / "f") == sha256_bytes(data)
    assert json.dumps(sha256_bytes(b"")).startswith('"e3b0c442')
