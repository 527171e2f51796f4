"""No parser of ours crashes, hangs or asks for a mountain of memory, whatever it is given.

A few hundred damaged files per parser and run; ``tools/fuzz.py`` goes on for as long as it is told, guided
by coverage. What it found is kept below.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
import pytest

from tests.fuzz.mutate import damaged
from tests.fuzz.targets import TARGETS
from yolotrt.errors import YoloTrtError
from yolotrt.evaluation.groundtruth import load_ground_truth

FILES = 200
PATIENCE_S = 60
LONGEST_MESSAGE = 2000


def _hang(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise AssertionError(f"it hangs: more than {PATIENCE_S} s for one file")


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Let every test have so many seconds from its last call of ``signal.alarm``."""
    earlier = signal.signal(signal.SIGALRM, _hang)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, earlier)


@pytest.mark.parametrize("name", TARGETS)
def test_a_damaged_file_gives_a_value_or_an_error_of_ours(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    seeds = target.seeds(tmp_path)
    for seed in seeds:
        target.parse(seed, tmp_path)
    refused, longest = 0, 0
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
    assert longest < LONGEST_MESSAGE
    assert refused > FILES // 10 or not target.refuses, "the damage does no damage"


DEEP = b'{"a":' * 5000
HEADER = b'{"names": {"\xc2\xb2": "cat", "' + b"9" * 5000 + b'": "dog"}}'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("engine-header", len(DEEP).to_bytes(4, "little") + DEEP + b"plan"),
        ("engine-header", len(HEADER).to_bytes(4, "little") + HEADER + b"plan"),
        ("pipeline-yaml", b"models: {yolo_tiles: {engine: " + b"9" * 5000 + b"}}"),
        ("pipeline-yaml", b"models: &a {yolo_tiles: {engine: x}, b: &a {c: d}}"),
        ("pipeline-yaml", b"yolo_tiles_parallel: {enabled: true, groups: " + b"9" * 5000 + b"}\nmodels: {}"),
        ("pipeline-yaml", b"a: " + b"[" * 5000),
        ("pipeline-yaml", b"a: !!python/object/apply:os.system [x]\nmodels: {yolo_tiles: {engine: x}}"),
        (
            "pipeline-yaml",
            b"a0: &a0 {k: v}\n"
            + b"".join(b"a%d: &a%d {<<: [*a%d, *a%d]}\n" % (i, i, i - 1, i - 1) for i in range(1, 60)),
        ),
        ("pipeline-yaml", b"#" * 300_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_found_stays_found(name: str, data: bytes, tmp_path: Path) -> None:
    with contextlib.suppress(YoloTrtError):
        TARGETS[name].parse(data, tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"bbox": [1.0', b'"bbox": [' + b"9" * 400),  # float() of it overflows
        (b"31, 2, 31", b"1e300, 2, 31"),  # pycocotools walks along the edge, pixel by pixel
        (b"31, 2, 31", b"2147483647, 2, 31"),
        (b'"width": 64', b'"width": 9007199254740991'),  # masks as large as the image
        (b'"counts": "PP3"', b'"counts": "' + b"P" * 11 + b'0"'),
        (b'"a.jpg"', b'"a\\u0000.jpg"'),
    ],
)
def test_annotations_that_would_be_expensive_are_left_out(old: bytes, new: bytes, tmp_path: Path) -> None:
    (seed,) = TARGETS["coco-instances"].seeds(tmp_path)
    assert old in seed
    path = tmp_path / "expensive.json"
    path.write_bytes(seed.replace(old, new))
    begin = time.process_time()
    with contextlib.suppress(YoloTrtError):
        assert load_ground_truth(path).notes
    assert time.process_time() - begin < 2  # of this process: others may keep the machine busy


@pytest.mark.parametrize("length", [2**62, 2**63 - 2])
def test_runs_that_overflow_their_sum_fill_no_mask(length: int) -> None:
    from yolotrt.geometry.rle import compress, decode_rle

    counts = np.array([0, 1 << 49] + [1 << 49] * 32766 + [length % 7], np.int64)
    encoded = {"size": [4, 4], "counts": compress(counts)}
    with pytest.raises(ValueError, match="do not fill"):
        decode_rle(encoded)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "names", ["(" * 300, "-" * 5000 + "1", "{0: " * 200, "['a'] * 10", "{0: 'a'}" + " " * 2_000_000]
)
def test_class_lists_that_exhaust_the_parser_are_refused(names: str) -> None:
    from tests.tiny_yolo import tiny_yolo
    from yolotrt.model.onnxfile import read_spec

    model = tiny_yolo(names=False)
    model.metadata_props.add(key="names", value=names)
    with pytest.raises(YoloTrtError, match="class list"):
        read_spec(model, "m")
