"""Exports of weights of one name: each has a file of its own, and none goes without a word."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from tests.tiny_yolo import tiny_yolo
from yolotrt.artifacts.hashing import sha256_file
from yolotrt.errors import StorageError
from yolotrt.model.exported import EXPORTED, default_target, mind_other_weights


@pytest.fixture
def weights(tmp_path: Path) -> list[Path]:
    found = [tmp_path / folder / "best.pt" for folder in ("a", "b")]
    for path in found:
        path.parent.mkdir()
        path.write_text(f"weights of {path.parent.name}")
    return found


def exported(target: Path, weights: Path) -> None:
    """Write what an export of these weights leaves, with the metadata by which it is known."""
    model = tiny_yolo()
    about = {
        "source_sha256": sha256_file(weights),
        "source_file": str(weights),
        "version_yolotrt": "0",
    }
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    target.parent.mkdir(exist_ok=True)
    onnx.save(model, target)


def test_weights_of_one_name_are_exported_side_by_side(tmp_path: Path, weights: list[Path]) -> None:
    engines, (one, other) = tmp_path / "engines", weights
    assert default_target(one, engines) == engines / "best.onnx"
    exported(engines / "best.onnx", one)
    second = default_target(other, engines)
    assert second.name.startswith("best-")
    exported(second, other)
    assert default_target(one, engines) == engines / "best.onnx"
    one.write_text("trained again")
    assert default_target(one, engines) == engines / "best.onnx"
    moved = one.rename(tmp_path / "best.pt")
    assert default_target(moved, engines) != second
    moved.write_text("weights of a")
    assert default_target(moved, engines) == engines / "best.onnx", "the same weights in another place"


def test_a_network_of_the_user_s_keeps_its_name(tmp_path: Path, weights: list[Path]) -> None:
    mine = tmp_path / "best.onnx"
    onnx.save(tiny_yolo(), mine)
    assert not EXPORTED.is_own(mine)
    assert default_target(weights[0], tmp_path) != mine


def test_it_is_said_what_is_replaced(tmp_path: Path, weights: list[Path]) -> None:
    target, (one, other), said = tmp_path / "x.onnx", weights, list[str]()
    mind_other_weights(target, one, sha256_file(one), False, said.append)
    exported(target, one)
    mind_other_weights(target, one, sha256_file(one), True, said.append)
    assert not said
    mind_other_weights(target, other, sha256_file(other), False, said.append)
    one.write_text("trained again")
    mind_other_weights(target, one, sha256_file(one), False, said.append)
    assert f"other weights ({one})" in said[0]
    assert "held earlier" in said[1]
    with pytest.raises(StorageError, match="Another process has just exported"):
        mind_other_weights(target, other, sha256_file(other), True, said.append)
