"""No parser of ours crashes, hangs or asks for a mountain of memory, whatever it is given.

A few hundred damaged files per parser and run; ``tools/fuzz.py`` goes on for as long as it is told, guided
by coverage. What it found is kept below.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path
from types import FrameType
from typing import NoReturn

import pytest

from tests.fuzz.mutate import damaged
from tests.fuzz.targets import TARGETS
from yolotrt.errors import YoloTrtError

FILES = 250
PATIENCE_S = 20
LONGEST_MESSAGE = 2000


def _hang(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise AssertionError(f"it hangs: more than {PATIENCE_S} s for one file")


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_gives_a_value_or_an_error_of_ours(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds(tmp_path)
    for seed in seeds:
        target.parse(seed, tmp_path)
    refused, longest = 0, 0
    earlier = signal.signal(signal.SIGALRM, _hang)
    try:
        for number in range(FILES):
            rng = random.Random(f"{name} {number}")
            data = damaged(rng.choice(seeds), rng, is_json=target.json)
            signal.alarm(PATIENCE_S)
            try:
                target.parse(data, tmp_path)
            except YoloTrtError as exc:
                refused += 1
                longest = max(longest, len(exc.message))
            except BaseException as exc:
                raise AssertionError(f"{name}, damage {number}: {type(exc).__name__}: {exc!s:.500}") from exc
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, earlier)
    assert longest < LONGEST_MESSAGE
    assert refused > FILES // 10 or not target.refuses, "the damage does no damage"
