from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import jsonschema
import pytest

from tests.bench.fakes import FakeClock, noise, result_of, run_fakes
from yolotrt.artifacts.documents import read_json
from yolotrt.artifacts.schema import schema as schema_of
from yolotrt.bench.metrics import METRICS
from yolotrt.bench.result import DOCUMENT, RunResult, read_result, to_json, write_result
from yolotrt.bench.stopping import StopRule
from yolotrt.errors import ArtifactError
from yolotrt.machine.environment import environment
from yolotrt.machine.nvml import GpuState
from yolotrt.machine.watch import Watch


@pytest.fixture
def result() -> RunResult:
    measured = run_fakes({"a": noise(0.01), "b": noise(0.02)}, StopRule(12))
    return replace(measured, environment=environment(2), during=Watch().report())


def _validate(document: object) -> None:
    schema = schema_of(DOCUMENT)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


def test_what_is_written_follows_the_published_schema(result: RunResult, tmp_path: Path) -> None:
    path = write_result(tmp_path / "r.json", result)
    _validate(read_json(path))
    _validate(json.loads(json.dumps(to_json(result))))
    _validate(read_json(write_result(path, replace(result, stopped=None, during=None))))


def test_the_schema_refuses_what_it_should(result: RunResult) -> None:
    for break_it in (
        lambda d: d.update(version=2),
        lambda d: d.update(extra=1),
        lambda d: d["cases"][0]["samples"].pop("end_to_end"),
        lambda d: d["cases"][0]["samples"]["end_to_end"].append("fast"),
        lambda d: d["cases"][0]["case"].update(mode="sideways"),
    ):
        document = json.loads(json.dumps(to_json(result)))
        break_it(document)
        with pytest.raises(jsonschema.ValidationError):
            _validate(document)


def test_writing_and_reading_give_the_same_result(result: RunResult, tmp_path: Path) -> None:
    again = read_result(write_result(tmp_path / "r.json", result))
    assert again.cases == result.cases
    assert json.loads(json.dumps(to_json(again))) == json.loads(json.dumps(to_json(result)))


def test_flat_metrics_are_medians_in_milliseconds_and_null_where_not_measured() -> None:
    entry = to_json(result_of([0.010, 0.030, 0.011]))["cases"][0]
    assert entry["metrics"]["end_to_end_ms"] == 11
    assert entry["metrics"]["inference_model_yolo_tiles_ms"] is None
    assert set(entry["metrics"]) == set(METRICS)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["cases"][0].pop("samples"),
        lambda d: d["cases"][0]["samples"]["tiles"].append(1.0),
        lambda d: d["cases"][0]["samples"].pop("end_to_end"),
        lambda d: d.pop("environment"),
        lambda d: d.update(cases=3),
        lambda d: d.update(cases=[d["cases"][0]] * 2),
        lambda d: d["settings"].update(frames=-5),
        lambda d: d["settings"].update(overlap=1.5),
        lambda d: d["settings"].update(groups=[0]),
    ],
)
def test_a_damaged_file_is_refused_by_name(result: RunResult, tmp_path: Path, damage: object) -> None:
    path = write_result(tmp_path / "r.json", result)
    document = read_json(path)
    damage(document)  # type: ignore[operator]
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"r\.json"):
        read_result(path)


def test_the_environment_says_what_numbers_depend_on() -> None:
    found = environment(2)
    assert found.threads == 2
    assert found.packages["onnxruntime"]
    assert found.cores >= 1


def test_the_revision_is_that_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert environment(1).git is None


def test_the_watch_tells_own_work_from_that_of_others(tmp_path: Path) -> None:
    stat, seconds = tmp_path / "stat", iter([0, 10_000_000_000])
    stat.write_text("cpu  100 0 0 900 50 0 0 0 0 0\ncpu0 1 2\n")
    watch = Watch(lambda: next(seconds), stat=stat)
    stat.write_text("cpu  2600 0 0 900 50 0 0 0 0 0\ncpu0 1 2\n")  # 25 s of work in 10 s
    report = watch.report()
    assert report.wall_s == 10
    assert report.other_cores == pytest.approx(2.5, abs=0.1)


def test_what_slowed_the_gpu_down_is_seen_while_it_does() -> None:
    clock, states = FakeClock(), iter([(1900, ()), (1200, ("power limit",)), (1980, ())])

    def gpu(pci_bus_id: str | None) -> GpuState:
        assert pci_bus_id == "0000:02:00.0"
        mhz, throttled = next(states)
        return GpuState("card", "580", mhz, None, mhz // 25, throttled)

    watch = Watch(clock, pci_bus_id="0000:02:00.0", gpu=gpu)
    for _ in range(4):
        clock.advance(0.5)
        watch.glance()  # every second glance is too early to look
    found = watch.report().gpu
    assert found is not None
    assert found.throttled == ("power limit",)
    assert (found.clock_sm_mhz_least, found.clock_sm_mhz_most, found.looks) == (1200, 1980, 3)
    assert found.temperature_c == 79
    assert Watch(clock, gpu=lambda _: None).report().gpu is None


def test_a_system_without_counters_says_so(tmp_path: Path) -> None:
    assert Watch(stat=tmp_path / "none").report().other_cores is None


def test_the_libraries_that_decode_are_recorded_whatever_their_distribution_is_called() -> None:
    found = environment(1).packages
    assert found["opencv"] == cv2.__version__
    assert {"av", "onnxruntime", "numpy"} <= set(found)
