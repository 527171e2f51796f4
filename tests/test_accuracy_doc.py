"""What docs/accuracy.md says of the estimate is what was measured, and what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.int8_bound import blocks
from benchmarks.readme_tables import marked
from yolotrt.workflow.accuracy_bound.likeness import ENOUGH, FREE, JUDGED, LEAST_BOUND, PER_LOSS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "accuracy.md").read_text()


def test_the_tables_are_made_from_the_result() -> None:
    rows = json.loads((ROOT / "benchmarks" / "results" / "int8-bound.json").read_text())
    assert marked(TEXT) == blocks(rows)


def test_the_rule_is_that_of_the_program() -> None:
    rows = re.findall(r"\| (0\.\d+) \| (\d\.\d) \| (0\.\d+) \|", TEXT)
    for name, (free, slope, asked) in zip(("objects", "box IoU", "mask IoU"), rows, strict=True):
        assert (float(free), float(slope)) == (FREE[name], PER_LOSS[name])
        assert float(asked) == round(1 - FREE[name] - 0.01 * PER_LOSS[name], 3)
    assert f"{JUDGED} of the pictures" in TEXT
    assert f"{ENOUGH} objects" in TEXT
    assert f"{LEAST_BOUND * 100:g} %" in TEXT
