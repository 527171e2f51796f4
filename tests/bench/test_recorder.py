from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.fakes import FakeClock, FakeSubject, noise
from yolotrt.bench.recorder import Recorder, take_up
from yolotrt.bench.result import Endings, RunResult, read_result, write_result
from yolotrt.bench.rounds import Running, measure_rounds
from yolotrt.bench.settings import Settings
from yolotrt.bench.source import source_files
from yolotrt.bench.stopping import StopRule, WarmupRule
from yolotrt.errors import ArtifactError
from yolotrt.machine.environment import EngineRecord, environment

EMPTY = RunResult(
    Settings(groups=(1, 2), iterations=20, source="scene"),
    replace(environment(1), cpu="fake", cores=8, engines={"a": EngineRecord(sha256="0")}),
    (),
)


def _measure(running: list[Running], recorder: Recorder, clock: FakeClock, rounds: int) -> None:
    measure_rounds(running, [None], StopRule(rounds), WarmupRule(0), each_frame=recorder, clock=clock)


def test_saving_waits_so_that_it_costs_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saved = FakeClock(), []

    def write(target: Path, result: RunResult) -> Path:
        clock.advance(0.5)
        saved.append(result.rounds)
        return target

    monkeypatch.setattr("yolotrt.bench.recorder.write_result", write)
    running = [Running(FakeSubject("a", lambda *_: 1.0, clock))]
    _measure(running, Recorder(tmp_path / "r.json", EMPTY, clock), clock, 40)
    assert saved == [1, 11, 21, 31]


def test_an_interrupted_round_is_kept_and_ended_before_the_next(tmp_path: Path) -> None:
    path, clock = tmp_path / "r.json", FakeClock()
    calls = 0

    def breaks(_t: float, _rng: object) -> float:
        nonlocal calls
        calls += 1
        if calls == 7:  # in its seventh round "a" comes before "b"
            raise KeyboardInterrupt
        return 0.01

    subjects = [FakeSubject("a", noise(0.01), clock), FakeSubject("b", breaks, clock)]  # type: ignore[arg-type]
    recorder = Recorder(path, EMPTY, clock)
    with pytest.raises(KeyboardInterrupt):
        _measure([Running(s) for s in subjects], recorder, clock, 20)
    assert recorder.save() == path
    partial = read_result(path)
    assert not partial.complete
    assert [len(e.samples["end_to_end"]) for e in partial.cases] == [7, 6]
    assert partial.rounds == 6

    earlier = take_up(path, EMPTY)
    assert earlier is not None
    running = [Running.resume(s, e) for s, e in zip(subjects, earlier.cases, strict=True)]
    _measure(running, Recorder(None, EMPTY, clock), clock, 20)
    assert [entry.rounds for entry in running] == [20, 20]
    for entry, before in zip(running, partial.cases, strict=True):
        kept = before.samples["end_to_end"]
        assert entry.result().samples["end_to_end"][: len(kept)] == kept


def _asked(**settings: object) -> RunResult:
    return replace(EMPTY, settings=replace(EMPTY.settings, **settings))  # type: ignore[arg-type]


def _at(**environment: object) -> RunResult:
    return replace(EMPTY, environment=replace(EMPTY.environment, **environment))  # type: ignore[arg-type]


def _on(source: str, *files: tuple[str, str]) -> RunResult:
    return _asked(source=source, source_files=source_files(files))


def test_pictures_are_the_same_by_content_and_not_by_name(tmp_path: Path) -> None:
    path = write_result(tmp_path / "r.json", _on("street", ("a.png", "1"), ("b.png", "2")))
    assert take_up(path, _on("moved/street", ("a.png", "1"), ("b.png", "2"))) is not None
    for other, reason in (
        (
            _on("street", ("a.png", "1"), ("b.png", "3")),
            r"1 of 2 pictures .*another picture is called b\.png",
        ),
        (_on("street", ("b.png", "2"), ("a.png", "1")), r"2 of 2 pictures .*a\.png -> b\.png"),
        (_on("street", ("a.png", "1")), r"street \(2 pictures\) -> street \(1 pictures\)"),
        (_on("scene"), "source street -> scene"),
    ):
        with pytest.raises(ArtifactError, match=reason):
            take_up(path, other)
    write_result(path, _asked(source="street"))
    assert take_up(path, _on("street", ("a.png", "1"))) is not None  # an earlier version: nobody can know


def test_only_the_same_run_is_resumed(tmp_path: Path) -> None:
    path = write_result(tmp_path / "r.json", EMPTY)
    assert take_up(tmp_path / "none.json", EMPTY) is None
    assert take_up(path, _asked(iterations=50)) is not None
    for other, reason in (
        (_asked(groups=(1,)), "'groups'"),
        (_at(engines={"a": EngineRecord(sha256="1")}), "engines"),
        (_at(cores=4), "'cores'"),
    ):
        with pytest.raises(ArtifactError, match=reason):
            take_up(path, other)
    write_result(path, replace(EMPTY, stopped=Endings("iterations")))
    assert (take_up(path, EMPTY) or EMPTY).complete
    with pytest.raises(ArtifactError, match="complete"):
        take_up(path, _asked(iterations=50))
