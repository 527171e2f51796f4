"""``--overlap`` of every verb that cuts tiles: what it refuses, and what it says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.conftest import Cli
from tests.tiny_yolo import write_tiny_yolo

VERBS = (
    ("predict", "e.onnx", "p.png"),
    ("run", "e.onnx", "--source", "p.mp4"),
    ("bench", "e.onnx", "--source", "p.png", "-n", 1, "--warmup", 0, "--groups", 1, "--mode", "tiled"),
    ("eval", "e.onnx", "--images", ".", "--annotations", "a.json"),
    ("tune", "e.onnx", "--source", "p.png"),
)


@pytest.mark.parametrize("overlap", ["-0.1", "1", "1.5", "nan", "inf"])
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_what_is_no_overlap_is_a_usage_error_of_every_verb(
    cli: Cli, verb: tuple[object, ...], overlap: str
) -> None:
    done = cli(*verb, "--overlap", overlap)
    assert done.code == 2
    assert "makes no sense" in done.err
    assert "hint:" in done.err


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_tiny_yolo(tmp_path / "e.onnx")
    cv2.imwrite(str(tmp_path / "p.png"), np.full((480, 640, 3), 90, np.uint8))
    return tmp_path / "p.png"


@pytest.mark.parametrize("verb", [VERBS[0], VERBS[2]], ids=lambda verb: verb[0])
def test_too_many_tiles_are_one_line(cli: Cli, picture: Path, verb: tuple[object, ...]) -> None:
    done = cli(*verb, "--trust", "--overlap", 0.99)
    assert done.code == 2
    assert "more than the 4,096" in done.err
    assert "--overlap" in done.err


def test_an_overlap_of_0_says_once_what_it_loses(cli: Cli, picture: Path) -> None:
    none = cli(*VERBS[0], "--trust", "--overlap", 0)
    some = cli(*VERBS[0], "--trust", "--overlap", 0.1)
    assert (none.code, some.code) == (0, 0), none.err
    assert none.err.count("found in pieces") == 1
    assert "found in pieces" not in some.err


def test_a_guess_about_a_picture_is_a_warning_and_not_repeated_for_ever(cli: Cli, tmp_path: Path) -> None:
    write_tiny_yolo(tmp_path / "e.onnx")
    (tmp_path / "dark").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "dark" / f"{number}.png"), np.full((40, 64, 3), 3000 + number, np.uint16))
    done = cli("predict", "e.onnx", "dark", "--trust", "--mode", "global")
    assert done.code == 0, done.err
    lines = [line for line in done.err.splitlines() if "12 bits" in line]
    assert len(lines) == 2
    assert all(line.startswith("warning: ") and "16 times too dark" in line for line in lines)
    assert "0.png" in lines[0]
    assert "not shown" in lines[1]


@pytest.mark.parametrize(
    "verb", [("scenes", "--out", "s"), ("mosaics", "--images", ".", "--annotations", "a")]
)
def test_frames_that_fit_no_memory_are_refused_before_they_are_made(cli: Cli, verb: tuple[str, ...]) -> None:
    done = cli(*verb, "--size", "99999x99999", *(("--out", "m") if verb[0] == "mosaics" else ()))
    assert done.code == 2
    assert "9,999,800,001 pixels" in done.err
