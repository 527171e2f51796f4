"""What docs/accuracy-bound.md says of the estimate is what was measured, and what the program does."""

from __future__ import annotations

import re
from pathlib import Path

from yolotrt.workflow.accuracy_bound.likeness import ENOUGH, FREE, JUDGED, LEAST_BOUND, PER_LOSS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "accuracy-bound.md").read_text()


def test_the_rule_is_that_of_the_program() -> None:
    rows = re.findall(r"\* .*: (0\.\d+)\D+(\d\.\d)\D+?(?:1 %\D+)?(0\.\d+)[.;]", TEXT)
    for name, (free, slope, asked) in zip(("objects", "box IoU", "mask IoU"), rows, strict=True):
        assert (float(free), float(slope)) == (FREE[name], PER_LOSS[name])
        assert float(asked) == round(1 - FREE[name] - 0.01 * PER_LOSS[name], 3)
    assert f"{JUDGED} of the pictures" in TEXT
    assert f"{ENOUGH} objects" in TEXT
    assert f"{LEAST_BOUND * 100:g} %" in TEXT
