"""Windows of a run, on a virtual display where Xvfb is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from tests.workflow.test_outlets import outlet, seen
from yolotrt.errors import EnvironmentFault
from yolotrt.workflow.window import SIDES, fitted, require_display, window_output

pytest.importorskip("tkinter")


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    xvfb = shutil.which("Xvfb")
    if xvfb is None:
        pytest.skip("Xvfb is not installed")
    reading, writing = os.pipe()
    command = [xvfb, "-displayfd", str(writing), "-screen", "0", "1400x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as told:
        monkeypatch.setenv("DISPLAY", f":{told.readline().strip()}")
    yield
    server.terminate()
    server.wait(10)


def test_frames_are_shown(display: None) -> None:
    drawn: list[int] = []

    def draw(frame: np.ndarray, found: object) -> np.ndarray:
        drawn.append(int(frame[0, 0, 0]))
        return frame

    require_display()
    made, said = outlet(window_output(draw), lossless=True)
    for index in range(3):
        made.put(seen(index))
    made.close()
    assert len(drawn) == 3
    assert (made.delivery.written, made.delivery.complaint, said) == (3, None, [])


def test_without_a_display_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(EnvironmentFault, match="--show finds no display"):
        require_display()


@pytest.mark.parametrize(
    ("wh", "shown"), [((640, 480), (640, 480)), ((3840, 2160), SIDES), ((100, 7200), (10, 720))]
)
def test_pictures_fit(wh: tuple[int, int], shown: tuple[int, int]) -> None:
    assert fitted(np.zeros((wh[1], wh[0], 3), np.uint8)).shape == (shown[1], shown[0], 3)
