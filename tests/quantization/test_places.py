"""Calibrations of one network beside each other: none replaces another, and the best known one is taken."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from tests.quantization.test_cache import Setting
from yolotrt.artifacts.files import exclusive
from yolotrt.model.onnxfile import onnx_key
from yolotrt.quantization.cache import read_ranges
from yolotrt.quantization.places import family, of_network


@pytest.fixture
def setting(tmp_path: Path, pictures: Path) -> Setting:
    return Setting(tmp_path, pictures)


def _trial(setting: Setting, images: int, **options: object) -> tuple[Path, tuple[str, ...]]:
    every = setting.pictures
    few = every.with_name(f"{images}")
    few.mkdir(exist_ok=True)
    for path in sorted(every.iterdir())[:images]:
        os.link(path, few / path.name) if not (few / path.name).exists() else None
    setting.pictures = few
    _, status = setting.calibrate(beside=True, **options)
    setting.pictures = every
    assert status.path is not None
    return status.path, status.changed


def test_a_trial_on_fewer_images_stays_beside(setting: Setting) -> None:
    first, _ = _trial(setting, 4)
    assert first == setting.cache
    kept = first.read_bytes()
    trial, changed = _trial(setting, 1)
    assert (trial != first, changed) == (True, ("images",))
    other, changed = _trial(setting, 4, algorithm="minmax")
    assert (other not in (first, trial), changed) == (True, ("algorithm",))
    assert first.read_bytes() == kept
    assert family(first) == [first, *sorted([trial, other])]
    for count, options, path in ((4, {}, first), (1, {}, trial), (4, {"algorithm": "minmax"}, other)):
        assert _trial(setting, count, **options) == (path, ())  # each is found again
    assert _trial(setting, 1, force=True)[0] == trial


def test_the_one_of_most_images_is_taken_then_that_of_the_method_then_the_newest(setting: Setting) -> None:
    trial, _ = _trial(setting, 1)
    full, _ = _trial(setting, 4)
    minmax, _ = _trial(setting, 4, algorithm="minmax")
    for age, path in enumerate((trial, full, minmax)):
        os.utime(path, (age, age))
    network = onnx_key(setting.model)
    assert [p for p, _ in of_network(trial, network, "mse", read_ranges)] == [full, minmax, trial]
    assert [p for p, _ in of_network(trial, network, "minmax", read_ranges)] == [minmax, full, trial]
    assert [p for p, _ in of_network(trial, network, "entropy", read_ranges)] == [minmax, full, trial]
    assert of_network(trial, "another network", "mse", read_ranges) == []
    trial.write_text("{")  # damaged: the others still count
    assert [p for p, _ in of_network(trial, network, "mse", read_ranges)] == [full, minmax]


def test_the_next_content_of_a_network_replaces_what_is_of_no_use_any_more(setting: Setting) -> None:
    first, _ = _trial(setting, 4)
    bias = next(t for t in setting.model.graph.initializer if t.name == "stem.conv.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + 0.01, bias.name))
    onnx.save(setting.model, setting.onnx)
    assert _trial(setting, 4) == (first, ("model",))
    old = json.loads(first.read_text())
    old["method"] -= 1  # ranges of an earlier method
    first.write_text(json.dumps(old))
    assert _trial(setting, 1)[0] == first


def test_files_of_other_names_are_no_family(setting: Setting) -> None:
    first, _ = _trial(setting, 4)
    for name in ("net-v2.calib.json", "net-0123456.calib.json", "net-01234567.json", "other.calib.json"):
        (first.parent / name).write_bytes(first.read_bytes())
    assert family(first) == [first]


def test_a_file_without_what_the_images_showed_is_read(setting: Setting) -> None:
    """As earlier versions wrote them."""
    first, _ = _trial(setting, 4)
    document = json.loads(first.read_text())
    assert document.pop("seen")["images"] == 4
    known = read_ranges(first)
    first.write_text(json.dumps(document))
    assert read_ranges(first) == replace(known, seen=None)
    assert _trial(setting, 4) == (first, ())


def test_two_processes_with_different_images_do_not_replace_each_other(setting: Setting) -> None:
    """The second one chose its place while the first one was at work there."""
    first, _ = _trial(setting, 4)
    content = first.read_bytes()
    first.unlink()
    found: list[tuple[Path, tuple[str, ...]]] = []
    waits = threading.Event()

    def second() -> None:
        found.append(_trial(setting, 1, on_wait=lambda _: waits.set()))

    with exclusive(first, print):
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(20)
        first.write_bytes(content)
    thread.join()
    ((beside, changed),) = found
    assert (beside != first, changed) == (True, ("images",))
    assert family(first) == [first, beside]
    assert first.read_bytes() == content
