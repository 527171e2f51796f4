"""INT8 within a bound: what is quantised less, what is recorded, and that nothing is done twice."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.evaluation.test_agreement import squares
from tests.tiny_yolo import write_tiny_yolo
from tests.workflow.test_evaluate import annotate
from yolotrt.backends.loading import load_engine
from yolotrt.backends.rebuild import rebuild_command
from yolotrt.backends.registry import backend
from yolotrt.backends.sidecar import read_engine, sidecar_path
from yolotrt.errors import CalibrationError, GateFailed, InputError, UsageError
from yolotrt.evaluation.groundtruth import load_ground_truth
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.settings import PassMode
from yolotrt.quantization.sensitivity import LayerNoise
from yolotrt.report.bound_tables import bound_table
from yolotrt.workflow.accuracy_bound import likeness as likeness_module
from yolotrt.workflow.accuracy_bound import trial as trial_module
from yolotrt.workflow.accuracy_bound.criterion import Judgement
from yolotrt.workflow.accuracy_bound.likeness import AgreementCriterion, likeness, with_objects
from yolotrt.workflow.accuracy_bound.search import BoundOutcome, BoundRequest, build_within_bound, climb
from yolotrt.workflow.accuracy_bound.trial import Attempt, Trial, exclusions, int8_share, ladder
from yolotrt.workflow.build import build_engine, plan_build
from yolotrt.workflow.evaluate import MaxDrop, evaluate_engines
from yolotrt.workflow.plan import BuildRequest


@pytest.fixture
def request_(tmp_path: Path, pictures: Path) -> BuildRequest:
    return BuildRequest(
        write_tiny_yolo(tmp_path / "tiny.onnx"),
        "int8",
        backend="onnxruntime",
        images=pictures,
        engines=tmp_path / "engines",
        calib_data=tmp_path / "calib",
    )


def _keep(
    request: BuildRequest, bound: str, annotations: Path | None = None, mode: PassMode = "global"
) -> tuple[BoundOutcome, list[str]]:
    said: list[str] = []
    images = request.images if annotations else None
    wanted = BoundRequest(request, MaxDrop.parse(bound), annotations, images, mode=mode)
    outcome = build_within_bound(wanted, say=said.append)
    return outcome, said


def test_a_wide_bound_is_kept_by_the_default_and_recorded(request_: BuildRequest) -> None:
    outcome, _ = _keep(request_, "90%")
    assert len(outcome.attempts) == 1
    assert outcome.attempts[0].quantized > 0
    sources = read_engine(outcome.file.path).sources
    assert sources["bound_max_drop"] == "90%"
    assert sources["bound_criterion"] == "agreement with FP32"
    assert float(sources["bound_budget"]) == outcome.attempts[0].budget
    assert tuple(json.loads(sources["excluded"])) == outcome.attempts[0].excluded
    at = outcome.attempts[0].threshold
    assert at is not None
    assert at.reference > 0
    assert json.loads(sources["bound_threshold"]) == asdict(at)


def test_a_narrow_bound_quantises_less_until_it_holds(request_: BuildRequest) -> None:
    plan = plan_build(request_, say=lambda _m: None)
    steps = [step for step in ladder(plan) if int8_share(plan, step[1]) >= 0.3]
    tried: list[Attempt] = []

    def attempt(budget: float, excluded: tuple[str, ...]) -> Attempt:
        held = len(tried) == 1
        share = int8_share(plan, excluded)
        tried.append(replace(_attempt(budget, excluded), held=held, work=share))
        return tried[-1]

    assert climb(steps, attempt, MaxDrop.parse("1%"), lambda _m: None, 0.3) == tuple(tried)
    assert len(tried) == 2
    assert tried[0].work > tried[1].work >= 0.3


@pytest.mark.parametrize("least", [0.5, 0.8, 1e-9])
def test_a_bound_that_leaves_too_little_in_int8_is_no_success(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float
) -> None:
    """Least of all an FP32 network under the name of INT8, however little is asked for."""
    monkeypatch.setattr(likeness_module, "FREE", dict.fromkeys(likeness_module.FREE, -0.1))
    wanted = BoundRequest(request_, MaxDrop.parse("0.5%"), least_int8=least)
    with pytest.raises(GateFailed, match="no engine was made") as caught:
        build_within_bound(wanted, say=lambda _m: None)
    assert "in INT8 loses" in caught.value.message
    assert "--least-int8" in (caught.value.hint or "")
    assert not list((tmp_path / "engines").glob("*int8*.onnx"))


def test_more_int8_than_there_can_be_is_refused_before_anything_is_measured(request_: BuildRequest) -> None:
    with pytest.raises(GateFailed, match="can be INT8, less than the 100% asked for"):
        build_within_bound(BoundRequest(request_, MaxDrop.parse("90%"), least_int8=1.0), say=lambda _m: None)
    with pytest.raises(UsageError, match="--least-int8"):
        BoundRequest(request_, MaxDrop.parse("90%"), least_int8=0.0)


def test_a_bound_with_more_int8_is_another_bound(request_: BuildRequest) -> None:
    few, many = (BoundRequest(request_, MaxDrop.parse("90%"), least_int8=least) for least in (0.2, 0.4))
    kept = build_within_bound(few, say=lambda _m: None)
    assert "--least-int8 20%" in rebuild_command(kept.file)
    assert build_within_bound(few, say=lambda _m: None).cached
    assert not build_within_bound(many, say=lambda _m: None).cached


def test_pictures_in_which_nothing_is_found_cannot_show_a_loss(
    request_: BuildRequest, tmp_path: Path
) -> None:
    blank = tmp_path / "blank"
    blank.mkdir()
    assert cv2.imwrite(str(blank / "0.png"), np.zeros((64, 64, 3), np.uint8))
    model = onnx.load(request_.model)
    for weight in model.graph.initializer:
        if weight.name.endswith("head.bias"):
            shifted = numpy_helper.to_array(weight).copy()
            shifted[4:6] = -50.0
            weight.CopyFrom(numpy_helper.from_array(shifted, weight.name))
    onnx.save(model, request_.model)
    with pytest.raises(InputError, match="finds nothing in 1 of the 1 images to judge on"):
        build_within_bound(BoundRequest(request_, MaxDrop(0.01, True), None, blank), say=lambda _m: None)


def test_an_engine_within_the_same_bound_is_not_built_again(request_: BuildRequest, pictures: Path) -> None:
    first, _ = _keep(request_, "90%")
    again, said = _keep(request_, "90%")
    assert again.cached
    assert any("up to date" in line for line in said)
    assert replace(again, cached=False) == first
    assert not _keep(request_, "80%")[0].cached
    (pictures / "0.png").unlink()
    assert not _keep(request_, "80%")[0].cached
    build_engine(request_, say=lambda _m: None)
    assert not _keep(request_, "80%")[0].cached


def test_a_sidecar_with_the_first_names_of_a_bound_is_read(request_: BuildRequest) -> None:
    kept, _ = _keep(request_, "90%")
    sidecar = sidecar_path(kept.file.path)
    first = {"bound_outcome": "promise", "bound_max_drop": "promise_bound"}
    document = json.loads(sidecar.read_text())
    document["sources"] = {
        first.get(k, k.replace("bound_", "promise_")): v for k, v in document["sources"].items()
    }
    assert {"promise", "promise_bound", "promise_mode", "promise_budget"} <= document["sources"].keys()
    sidecar.write_text(json.dumps(document))
    assert read_engine(kept.file.path).sources == kept.file.sources
    assert "--max-drop 90%" in rebuild_command(read_engine(kept.file.path))
    assert _keep(request_, "90%")[0].cached


def test_the_record_rebuilds_the_same_engine(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How many layers a bound takes depends on the processor: without VNNI its kernels saturate.
    some = list(ladder(plan_build(request_, say=lambda _m: None)))[-1][1][:1]
    monkeypatch.setattr("yolotrt.workflow.accuracy_bound.search.ladder", lambda *_: [(0.1, some)])
    outcome, _ = _keep(request_, "90%")
    kept, last = outcome.file, outcome.attempts[-1]
    excluded = tuple(json.loads(kept.sources["excluded"]))
    assert excluded == some
    again = replace(request_, exclude=excluded, score_shift=last.score_shift, output=tmp_path / "again.onnx")
    assert build_engine(again, say=lambda _m: None).file.sha256 == kept.sha256


def test_annotations_measure_map(request_: BuildRequest, pictures: Path, tmp_path: Path) -> None:
    fp32 = build_engine(replace(request_, precision="fp32"), say=lambda _m: None).file
    path = annotate(fp32, pictures, tmp_path / "a.json")
    document = json.loads(path.read_text())
    document["annotations"].append({**document["annotations"][0], "id": 9999, "image_id": 9999})
    path.write_text(json.dumps(document))
    outcome, said = _keep(request_, "50pt", annotations=path)
    assert [line for line in said if line.startswith("warning: 1 of ")], "what was left out is said"
    assert outcome.criterion == "mAP50-95"
    assert outcome.reference["box mAP"] > 0.9
    at = outcome.attempts[0].threshold
    assert at is not None
    assert at.best is not None
    assert at.reference_best is not None
    (kept,) = outcome.attempts
    assert kept.losses["box mAP"] == outcome.reference["box mAP"] - kept.figures["box mAP"] > 0
    assert _keep(request_, "50pt", annotations=path)[0].cached
    first = document["annotations"][0]
    first["category_id"] = 3 - first["category_id"]
    path.write_text(json.dumps(document))
    assert not _keep(request_, "50pt", annotations=path)[0].cached, "of other objects of the same size"
    with pytest.raises(GateFailed):
        _keep(request_, "0pt", annotations=path)


def test_small_objects_have_a_bound_of_their_own(
    request_: BuildRequest, pictures: Path, tmp_path: Path
) -> None:
    fp32 = build_engine(replace(request_, precision="fp32"), say=lambda _m: None).file
    path = annotate(fp32, pictures, tmp_path / "a.json")
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation["area"] = 900.0
    path.write_text(json.dumps(document))
    wanted = BoundRequest(request_, MaxDrop.parse("99%"), path, request_.images)
    kept = build_within_bound(replace(wanted, max_drop_small=MaxDrop.parse("98%")), say=lambda _m: None)
    (attempt,) = kept.attempts
    assert 0 < attempt.losses["small boxes"] < attempt.limits["small boxes"] == 0.98
    assert 0 <= attempt.chances["small boxes"] <= 1
    assert "--max-drop-small 98%" in rebuild_command(kept.file)
    said: list[str] = []
    with suppress(GateFailed):  # less INT8 may hold it
        build_within_bound(replace(wanted, max_drop_small=MaxDrop.parse("0%")), say=said.append)
    first = next(line for line in said if line.startswith("attempt"))
    assert re.search(r"small boxes counts as a loss of \S+ of 0 .*: not held", first)


@pytest.mark.parametrize("mode", ["tiled", "tiled+global"])
def test_annotations_are_judged_in_the_mode_that_the_engine_is_meant_for(
    request_: BuildRequest, pictures: Path, tmp_path: Path, mode: PassMode
) -> None:
    """To the same figures as ``eval`` in that mode; the global pass hardly shows what is annotated here."""
    for name in ("2.png", "3.png"):
        (pictures / name).unlink()  # two have tiles enough
    fp32 = build_engine(replace(request_, precision="fp32"), say=lambda _m: None).file
    path = annotate(fp32, pictures, tmp_path / "a.json", mode)
    outcome, _ = _keep(request_, "99%", path, mode)
    truth = load_ground_truth(path)
    reference, kept = evaluate_engines([fp32, outcome.file], truth, pictures, mode=mode)
    assert outcome.reference["box mAP"] == reference.evaluation.accuracy.box.ap > 0.9
    assert outcome.attempts[0].figures["box mAP"] == kept.evaluation.accuracy.box.ap


def test_agreement_is_judged_in_the_mode_that_the_engine_is_meant_for(request_: BuildRequest) -> None:
    """A bound for the global pass is none for tiles: it is judged again, and the mode recorded."""
    whole, _ = _keep(request_, "90%")
    tiled, _ = _keep(request_, "90%", mode="tiled+global")
    assert not tiled.cached
    assert (whole.mode, tiled.mode) == ("global", "tiled+global")
    assert tiled.attempts[0].figures != whole.attempts[0].figures
    assert read_engine(tiled.file.path).sources["bound_mode"] == "tiled+global"
    assert "--max-drop 90% --mode tiled+global" in rebuild_command(tiled.file)
    again, _ = _keep(request_, "90%", mode="tiled+global")
    assert replace(again, cached=False) == tiled


def test_a_graph_that_cannot_run_here_is_judged_by_fake_quantisation(
    request_: BuildRequest, tmp_path: Path
) -> None:
    plan = plan_build(request_, say=lambda _m: None)
    plan = replace(plan, backend=backend("tensorrt-rtx"))
    criterion = AgreementCriterion(sorted((tmp_path / "pictures").iterdir()), 1)
    trial = Trial(plan, criterion, MaxDrop(0.9, True), tmp_path, False, lambda *_: None)
    assert set(trial.reference().losses.values()) == {0.0}
    steps = list(ladder(plan))
    first, last = trial.attempt(*steps[0]), trial.attempt(*steps[-1])
    assert first.size is None
    assert first.quantized > last.quantized == 0
    assert max(first.losses.values()) > max(last.losses.values())
    assert max(last.losses.values()) < 1e-4


@pytest.mark.parametrize(
    ("drift", "convolutions", "after", "moved"),
    [
        (0.01, ["a"], 0.001, True),
        (0.001, ["a"], 0.0, False),
        (0.01, [], 0.0, False),
        (0.01, ["a"], -0.02, False),
    ],
)
def test_scores_are_moved_back_where_they_can_be_and_it_helps(
    monkeypatch: pytest.MonkeyPatch,
    request_: BuildRequest,
    drift: float,
    convolutions: list[str],
    after: float,
    moved: bool,
) -> None:
    tried: list[float] = []

    class Moving(AgreementCriterion):
        def moved(self, shift: float) -> Judgement:
            tried.append(shift)
            return Judgement({"score drift": after}, {"objects": 0.0})

    monkeypatch.setattr(trial_module, "score_convolutions", lambda *_: convolutions)
    plan = plan_build(request_, say=lambda _m: None)
    trial = Trial(plan, Moving([], 1), MaxDrop(0.01, True), Path(), True, lambda *_: None)
    first = replace(_attempt(0.1, ()), figures={"score drift": drift}, held=True, shift=-0.0625)
    assert trial.aligned(first).score_shift == (-0.0625 if moved else 0.0)
    assert tried in ([], [-0.0625])


def test_scores_moved_by_what_was_found_are_where_those_of_fp32_are(
    request_: BuildRequest, tmp_path: Path
) -> None:
    file = build_engine(replace(request_, precision="fp32"), say=lambda _m: None).file
    criterion = AgreementCriterion(sorted((tmp_path / "pictures").iterdir()), 1)
    with closing(load_engine(file)) as engine:
        criterion.judge(engine, lambda *_: None)
    away = criterion.moved(0.1)
    assert away.figures["objects"] > 0.9
    assert away.figures["score drift"] > 0.01
    assert away.shift == pytest.approx(-0.1, rel=0.1)
    assert criterion.moved(0.0).figures["score drift"] == pytest.approx(0, abs=1e-6)


@pytest.mark.rtx
def test_the_size_of_an_engine_that_cannot_run_here_is_that_of_its_file(request_: BuildRequest) -> None:
    pytest.importorskip("tensorrt_rtx", reason="needs the tensorrt-rtx extra")
    if backend("tensorrt-rtx").availability().usable:
        pytest.skip("it can run here")
    there = replace(request_, backend="tensorrt-rtx", options={"compute_capabilities": ("SM120",)})
    outcome, _ = _keep(there, "90%")
    size = outcome.file.path.stat().st_size
    assert outcome.attempts[-1].size == size
    (mb,) = [c for c in bound_table(outcome).columns if c.header == "MB"]
    assert list(mb.cells)[-1] == f"{size / 1e6:.1f}"
    assert replace(_keep(there, "90%")[0], cached=False) == outcome


def _attempt(budget: float, excluded: Sequence[str]) -> Attempt:
    return Attempt(budget, tuple(excluded), 0, 9, 0.0, None, {"box mAP": 0.3}, {"box mAP": 0.1}, False)


def test_a_bound_that_cannot_be_kept_fails_the_gate() -> None:
    with pytest.raises(GateFailed, match="1% is not kept with 50% or more") as caught:
        climb([(0.04, ()), (1.0, ("a",))], _attempt, MaxDrop.parse("1%"), lambda _m: None)
    assert caught.value.exit_code == 3


def test_a_bound_that_noise_may_have_broken_says_so() -> None:
    def noisy(budget: float, excluded: Sequence[str]) -> Attempt:
        return replace(_attempt(budget, excluded), noise=True)

    for attempt, said in ((noisy, True), (_attempt, False)):
        with pytest.raises(GateFailed) as caught:
            climb([(0.04, ())], attempt, MaxDrop.parse("1%"), lambda _m: None)
        assert ("may be noise" in caught.value.message) is said
        assert ((caught.value.hint or "").startswith("Judge on more images")) is said


def test_exclusions_take_the_most_damage_per_cost_and_fill_the_budget() -> None:
    noise = {"a": 0.5, "b": 0.3, "c": 0.1, "d": 0.1}
    layers = [LayerNoise(name, value, (1.0,), 0.25) for name, value in noise.items()]
    assert exclusions(layers, 0.25) == ["a"]
    assert exclusions(layers, 0.5) == ["a", "b"]
    assert set(exclusions(layers, 1.0)) == set(noise)
    assert exclusions(layers, 0.1) == []
    assert exclusions([], 0.5) == []


def test_an_engine_that_scores_everything_lower_is_judged_by_what_it_finds() -> None:
    """A threshold that moved is no loss of mAP: as many of its best detections are compared."""
    expected = [squares(0, 50, scores=0.5), squares(7, scores=0.26)]
    fainter = [squares(0, 50, scores=0.3), squares(7, 90, scores=0.2)]
    fainter[1].scores[1] = 0.15
    judged = likeness(expected, fainter)
    assert judged.figures["objects"] == judged.figures["box IoU"] == 1
    assert judged.figures["score drift"] == pytest.approx(-0.46 / 3)
    assert max(judged.losses.values()) == 0


def test_the_worst_loss_is_the_one_that_takes_most_of_its_own_bound() -> None:
    judged = Judgement({}, {"box mAP": 0.009, "small boxes": 0.02}, limits={"small boxes": 0.05})
    assert judged.worst(0.01) == "box mAP"
    assert judged.worst(0.1) == "small boxes"


def test_a_bound_that_is_not_kept_is_told_by_the_loss_that_breaks_it() -> None:
    def attempt(budget: float, excluded: Sequence[str]) -> Attempt:
        losses = {"box mAP": 0.015, "small boxes": 0.03}
        return replace(_attempt(budget, excluded), losses=losses, limits={"small boxes": 0.05})

    with pytest.raises(GateFailed, match=r"in INT8 loses 1\.50"):
        climb([(0.04, ())], attempt, MaxDrop.parse("1%"), lambda _m: None)


def test_what_an_engine_no_longer_finds_at_all_is_a_loss() -> None:
    expected = [squares(0, 50), squares(7)]
    assert likeness(expected, [squares(0), Detections.empty()]).worst(0.0) == "objects"
    nothing = likeness(expected, [Detections.empty(), Detections.empty()])
    assert min(nothing.losses.values()) > 0.05
    moved = likeness(expected, [squares(4, 54), squares(11)])
    assert moved.worst(0.0) == "box IoU"
    assert moved.losses["box IoU"] > 0.05
    within = [squares(0, 50), squares(7)]
    within[0].boxes[0, 2] += 0.1  # what rounding does to good engines, too
    assert max(likeness(expected, within).losses.values()) == 0


def test_objects_below_the_confidence_that_is_used_do_not_count() -> None:
    expected = [Detections.concatenate([squares(0), squares(30, scores=0.2)])]
    assert max(likeness(expected, [squares(0)]).losses.values()) == 0


@pytest.mark.parametrize(("enough", "looked_at"), [(1, 2), (10**6, 4)])
def test_as_many_images_are_looked_at_as_objects_are_needed(
    request_: BuildRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enough: int, looked_at: int
) -> None:
    monkeypatch.setattr(likeness_module, "JUDGED", 2)
    monkeypatch.setattr(likeness_module, "ENOUGH", enough)
    criterion = AgreementCriterion(sorted((tmp_path / "pictures").iterdir()), 1)
    key = criterion.key()
    file = build_engine(replace(request_, precision="fp32"), say=lambda _m: None).file
    looks: list[int] = []
    for _ in range(2):
        with closing(load_engine(file)) as engine:
            criterion.judge(engine, lambda _step, done, _total: looks.append(done))
    assert looks == [*range(1, looked_at + 1)] * 2, "every engine looks at the images of the reference"
    assert f"on {looked_at} images (fewer than 20" in criterion.caveat
    assert ("objects (too few to be sure: better 1000000)" in criterion.caveat) == (enough > 1)
    assert criterion.key() == key


def test_images_in_which_nearly_nothing_is_found_are_no_judges() -> None:
    seen = [Detections.empty()] * 9 + [squares(0)]
    with pytest.raises(InputError, match="finds nothing in 9 of the 10 images"):
        with_objects(seen)
    assert with_objects(seen[-5:]) == seen[-5:]


@pytest.mark.parametrize("fields", [{"precision": "fp32"}, {"implicit": True}])
def test_what_cannot_be_bounded_is_refused(request_: BuildRequest, fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        BoundRequest(replace(request_, **fields), MaxDrop(0.01, True))  # type: ignore[arg-type]


def test_a_loss_too_small_to_be_estimated_needs_annotations(request_: BuildRequest) -> None:
    with pytest.raises(UsageError, match="without annotations") as caught:
        BoundRequest(request_, MaxDrop.parse("0.4%"))
    assert "--annotations" in (caught.value.hint or "")


def test_a_bound_needs_images(request_: BuildRequest) -> None:
    build_engine(request_, say=lambda _m: None)
    with pytest.raises(CalibrationError, match="images to judge on"):
        _keep(replace(request_, images=None), "1%")
    with pytest.raises(UsageError, match="images"):
        BoundRequest(request_, MaxDrop(0.01, True), annotations=Path("a.json"))
