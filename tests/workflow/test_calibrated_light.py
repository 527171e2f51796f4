"""Frames that are much darker than what an engine was calibrated on are told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from yolotrt.quantization.ranges import Seen
from yolotrt.workflow.calibrated_light import SOURCE, light_note, light_source


@pytest.mark.parametrize(
    ("value", "level", "told"),
    [
        ("0.4500 0.0500", 20, True),
        ("0.4500 0.0500", 240, True),
        ("0.4500 0.0500", 100, False),
        ("0.4500 0.2000", 20, False),  # night was among them
        ("0.4500", 20, False),
        (None, 20, False),
    ],
)
def test_a_note_is_made_of_what_the_sidecar_keeps(
    monkeypatch: pytest.MonkeyPatch, value: str | None, level: int, told: bool
) -> None:
    class Known:
        sources = {} if value is None else {SOURCE: value}

    monkeypatch.setattr("yolotrt.workflow.calibrated_light.read_sidecar", lambda _path: Known)
    note = light_note(Path("street.engine"), [np.full((32, 32, 3), level, np.uint8)])
    assert (note is not None) == told
    assert not told or "street.engine was calibrated on pictures of 45% brightness" in (note or "")


def test_nothing_is_kept_of_what_is_not_known() -> None:
    assert light_source(None) == light_source(Seen(1, 0, 1, 1)) == {}
    assert light_source(Seen(1, 0, 1, 1, 0, 0.5, 0.25)) == {SOURCE: "0.5000 0.2500"}
