"""What a search is continued for: the same engines, pictures and annotations, whatever they are called."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.bench.fakes import FakeClock, FakeSubject, noise
from tests.workflow.test_evaluate import annotate, tiny_engine
from yolotrt.bench.budgets import NO_BUDGETS, Budgets
from yolotrt.bench.halving import successive_halving
from yolotrt.bench.rounds import Measurement
from yolotrt.bench.sweep import SweepSettings
from yolotrt.data.measured import read_frames, source_files
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.workflow.plan import BuildRequest
from yolotrt.workflow.tune.key import search_key
from yolotrt.workflow.tune.search import TuneRequest
from yolotrt.workflow.tune.state import TuneState


class Search:
    """A search over one engine on one folder of pictures."""

    def __init__(self, folder: Path, pictures: Path) -> None:
        self.folder, self.pictures = folder, pictures
        self.engine = tiny_engine(folder)
        self.annotations = annotate(self.engine, pictures, folder / "a.json")

    def key(self, pictures: Path | None = None) -> dict[str, object]:
        source = str(pictures or self.pictures)
        request = TuneRequest(
            BuildRequest(self.engine.path), ("fp32",), SweepSettings(("global",)), NO_BUDGETS, None,
            pictures or self.pictures, self.annotations, None, self.folder / "tune.json",
            pictures=source_files(source),
        )  # fmt: skip
        truth = load_ground_truth(self.annotations, request.images)
        return search_key(request, [self.engine], read_frames(source), truth)


@pytest.fixture
def search(tmp_path: Path, pictures: Path) -> Search:
    return Search(tmp_path, pictures)


def test_pictures_that_moved_are_the_same(search: Search, tmp_path: Path) -> None:
    before = search.key()
    search.pictures.rename(tmp_path / "elsewhere")
    assert search.key(tmp_path / "elsewhere") == before


def test_another_picture_of_the_same_name_and_size_is_another_search(search: Search) -> None:
    before = search.key()
    path = search.pictures / "0.png"
    assert cv2.imwrite(str(path), 255 - np.asarray(cv2.imread(str(path))))
    after = search.key()
    assert {name for name in after if after[name] != before[name]} == {"pictures", "annotated images"}


def test_other_annotations_are_another_search(search: Search) -> None:
    before = search.key()
    document = json.loads(search.annotations.read_text())
    document["annotations"].pop()
    search.annotations.write_text(json.dumps(document))
    after = search.key()
    assert {name for name in after if after[name] != before[name]} == {"annotated images"}


def test_what_changed_is_said_and_nothing_of_it_is_continued(search: Search, tmp_path: Path) -> None:
    key, path, said = search.key(), tmp_path / "tune.json", list[str]()
    TuneState.open(path, key, NO_BUDGETS, said.append).save()
    assert said == []
    TuneState.open(path, key, NO_BUDGETS, said.append)
    assert "continuing" in said.pop()
    TuneState.open(path, {**key, "pictures": ["0"], "device": "cuda:1"}, NO_BUDGETS, said.append)
    assert said.pop().endswith("is about another search (pictures, device changed); starting anew")


def test_other_budgets_judge_what_is_there_and_measure_only_what_is_missing(tmp_path: Path) -> None:
    """A case given up for a budget comes back under a looser one, with its samples."""
    path, said, clock = tmp_path / "tune.json", list[str](), FakeClock()
    measured: list[str] = []

    class Counted(FakeSubject):
        def measure(self, frame: object) -> Measurement:
            measured.append(self.name)
            return super().measure(frame)

    def search(budget: str) -> tuple[set[str], dict[str, int]]:
        measured.clear()
        subjects = [Counted(name, noise(ms / 1e3), clock) for name, ms in (("a", 10), ("b", 10.2), ("c", 30))]
        budgets = Budgets.parse([f"end_to_end={budget}"])
        state = TuneState.open(path, {"engines": "made up"}, budgets, said.append)
        left, _ = successive_halving(
            state.resume(subjects), [None], budgets, rivals=lambda _: "all", rungs=(3, 8),
            on_drop=state.drop, each_frame=lambda cases, _: state.note(cases), clock=clock,
        )  # fmt: skip
        state.finish(left)
        return {entry.subject.case.engine for entry in left}, Counter(measured)

    strict, first = search("5ms")
    assert len(strict) == 1, "the fastest stays, so that there is something to report"
    assert sum(first.values()) >= 3 + 3 + 8
    loose, second = search("20ms")
    assert "judging what is there" in said[-1]
    assert loose == {"a", "b"}
    (back,) = {"a", "b"} - strict
    assert second == {back: 1 + 8 - 3, next(iter(strict)): 1}, "a frame each to warm up, and what is missing"
    same, third = search("19ms")
    assert (same, third) == (loose, {})


def test_a_state_of_an_earlier_version_is_not_continued(search: Search, tmp_path: Path) -> None:
    path, said = tmp_path / "tune.json", list[str]()
    old = replace(TuneState.open(path, search.key(), NO_BUDGETS, said.append), key="0" * 64)
    old.save()
    document = json.loads(path.read_text())
    del document["made_for"]
    path.write_text(json.dumps(document))
    assert TuneState.open(path, search.key(), NO_BUDGETS, said.append).cases == {}
    assert "other engines, images or another machine; starting anew" in said.pop()
