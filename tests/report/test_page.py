"""The page: its figures are the result's, it needs nothing else, and a browser does not complain."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.bench.fakes import noise, run_fakes
from tests.report.worlds import accuracy_figures, gpu_result
from tests.workflow.test_documents import SAMPLES
from yolotrt.artifacts.documents import read_json
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.result import Case, CaseResult, Endings, RunResult, TimelineSpan, read_result, write_result
from yolotrt.bench.settings import Settings
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import StopRule
from yolotrt.machine.environment import EngineRecord, environment
from yolotrt.report.accuracy import read_accuracy
from yolotrt.report.figures import NOT_MEASURED, milliseconds, ratio_text
from yolotrt.report.page import page
from yolotrt.report.result_columns import FIGURES, speed_up
from yolotrt.report.timeline import overlap_text, timeline_chart
from yolotrt.workflow.accuracy_file import EngineFigures

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
REQUIRED = os.environ.get("YOLOTRT_REQUIRE_BROWSER") == "1"
"""Where a browser is required, a test that cannot find it fails instead of being skipped."""

OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files",
)  # fmt: skip
PROBE = """
<iframe id="frame" src="page.html" style="width:360px;height:800px"></iframe><pre id="out"></pre><script>
onload = () => {
  const page = document.getElementById("frame").contentDocument;
  const charts = [...page.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height > 20);
  const figures = {};
  for (const one of page.querySelectorAll("data")) figures[one.value] = one.innerText;
  document.getElementById("out").textContent =
    "FIGURES " + JSON.stringify(figures) + " END WIDTH " + page.documentElement.scrollWidth +
    " CHARTS " + charts.length;
};
</script>
"""
SPANS = (
    TimelineSpan("tiles", None, "tiles", "host", 0.0, 0.009),
    TimelineSpan("prepare_batch", 0, "tiles", "host", 0.0, 0.001),
    TimelineSpan("enqueue", 0, "tiles", "host", 0.001, 0.008),
    TimelineSpan("enqueue", 1, "tiles", "host", 0.002, 0.009),
    TimelineSpan("enqueue", 1, "tiles", "device", 0.0, 0.007),
    TimelineSpan("merge", None, "frame", "host", 0.009, 0.0095),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run of two engines, written and read again."""
    fakes = {f"{i}": noise(0.004 + 0.002 * i) for i in range(10)}
    measured = run_fakes(fakes, StopRule(30)).cases
    cases = []
    for index, entry in enumerate(measured):
        engine = f"yolo.{'int8' if index % 2 else 'fp32'}.onnx"
        mode, dispatch, groups = (
            ("global", "-", 1)
            if index < 2
            else ("tiled", ("serial", "threads")[index // 2 % 2], 1 + index // 6 * 3)
        )
        samples = {**entry.samples, "enqueue": [v and v * 0.8 for v in entry.samples["end_to_end"]]}
        case = Case(engine, engine.split(".")[1], mode, dispatch, groups)
        cases.append(CaseResult(case, samples, [], index, SPANS))
    made = RunResult(
        Settings(source="<scene> & 'more'", frame_px="3840x2160"),
        replace(
            environment(2),
            engines={f"yolo.{p}.onnx": EngineRecord(sha256=p * 16) for p in ("int8", "fp32")},
        ),
        tuple(cases),
        notes=("A note with <b>markup</b>.",),
        stopped=Endings("iterations"),
        budgets=Budgets({"end_to_end": 0.012}, "p95"),
    )
    path = write_result(tmp_path_factory.mktemp("page") / "r.json", made)
    return read_result(path)


@pytest.fixture(scope="module")
def accuracy() -> list[EngineFigures]:
    change = (-0.004, -0.006, -0.002)
    return [
        accuracy_figures("yolo.fp32.onnx", "fp32" * 16, 0.4, 0.32),
        accuracy_figures("yolo.int8.onnx", "int8" * 16, 0.396, 0.316, change),
        accuracy_figures("other.onnx", "?", 0.1, None),
    ]


class _Reader(HTMLParser):
    """Collects the figures and every address; notes tags that are closed wrongly."""

    VOID = frozenset({"meta", "link", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.figures: dict[str, str] = {}
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()
        self._figure: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset", "action") and v]
        self._figure = values.get("value") if tag == "data" else None
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._figure is not None:
            self.figures[self._figure] = data
            self._figure = None


def _expected(result: RunResult) -> dict[str, str]:
    """Compute every figure of the large tables from the raw samples, with NumPy alone where that will do."""
    found = {}
    measured = {
        stage
        for entry in result.cases
        for stage, values in entry.samples.items()
        if values and None not in values
    }
    for index, entry in enumerate(result.cases):
        samples = np.array(entry.samples["end_to_end"], float)
        summary = summarize(entry.samples["end_to_end"])
        assert summary is not None
        assert summary.p50_interval is not None
        q1, q3 = np.percentile(samples, (25, 75))
        outliers = ((samples < q1 - 3 * (q3 - q1)) | (samples > q3 + 3 * (q3 - q1))).sum()
        for name, text in (
            ("median", milliseconds(float(np.median(samples)))),
            ("95 % interval", " to ".join(milliseconds(v) for v in summary.p50_interval)),
            *(
                (
                    f"p{q}",
                    milliseconds(float(np.percentile(samples, q))) if len(samples) >= least else NOT_MEASURED,
                )
                for q, least in ((90, 64), (95, 130), (99, 662))
            ),
            ("frames/s", f"{1 / samples.mean():.2f}"),
            ("paired vs groups=1", ratio_text(speed_up(entry, result.cases))),
            ("outliers", str(outliers)),
            ("found", str(entry.detections)),
        ):
            found[f"0/{index}/{name}"] = text
        for stage in measured:
            values = entry.samples.get(stage) or [None]
            name = stage.replace("device_", "GPU ")
            found[f"0/{index}/{name}"] = (
                NOT_MEASURED if None in values else milliseconds(float(np.median(np.array(values, float))))
            )
    return found


@pytest.mark.parametrize("kind", ["host", "gpu"])
def test_every_figure_on_the_page_is_that_of_the_result(result: RunResult, kind: str) -> None:
    shown = result if kind == "host" else gpu_result()
    reader = _Reader(page([shown]))
    expected = _expected(shown)
    assert {place: reader.figures.get(place) for place in expected} == expected
    further = {column.head("page") for column in FIGURES}  # each has a test of its own
    assert {place.split("/", 2)[2] for place in reader.figures.keys() - expected} <= further
    assert reader.open == []
    assert any("GPU" in name for name in reader.figures) == (kind == "gpu")


def test_the_page_is_one_file_without_scripts_and_addresses(
    result: RunResult, accuracy: list[EngineFigures]
) -> None:
    text = page([result], accuracy)
    reader = _Reader(text)
    assert reader.addresses == ["data:,"]
    assert "script" not in reader.tags
    assert not re.search(r"https?://|@import|url\(", text)


def test_text_of_the_user_is_escaped(result: RunResult) -> None:
    text = page([result])
    assert "<scene>" not in text
    assert "&lt;scene&gt; &amp;" in text
    assert "<b>markup" not in text


def test_accuracy_is_shown_for_the_engines_that_were_timed(
    result: RunResult, accuracy: list[EngineFigures]
) -> None:
    text = page([result], accuracy)
    assert "Accuracy over latency" in text
    assert "-0.40 (-0.60 to -0.20)" in text
    assert "other.onnx" not in text
    assert "Accuracy" not in page([result])


def test_figures_of_a_single_image_have_no_interval(result: RunResult, tmp_path: Path) -> None:
    (written,) = read_json(SAMPLES / "accuracy.json")["engines"][1:]
    written |= {"engine": "yolo.int8.onnx", "sha256": "int8" * 16, "images": 1, "mask": None}
    difference = {**written["comparison"]["box"], "absolute": -0.00001, "low": -0.00001, "high": -0.00001}
    comparison = {**written["comparison"], "box": difference, "mask": None}
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"mode": "global", "engines": [{**written, "comparison": comparison}]}))
    text = page([result], read_accuracy(path))
    assert ">+0.00<" in text
    assert "-0.00" not in text


def test_budgets_met_and_missed_are_told_apart(result: RunResult) -> None:
    text = page([result])
    assert re.search(
        r'class="missed">missed</span> end_to_end p95 within 12.0 ms: met by \d of 10 cases', text
    )
    met = page([replace(result, budgets=Budgets({"end_to_end": 9.0}))])
    assert "met by 10 of 10 cases" in met
    far = page([replace(result, budgets=Budgets({"end_to_end": 0.0001}))])
    assert re.search(r'class="missed">\d\dx</span>', far)
    assert "missed by" not in met


def test_what_was_not_chosen_is_no_empty_line(result: RunResult) -> None:
    asked = replace(result, settings=replace(result.settings, dispatch=(), modes=("tiled",)))
    assert "settings: dispatch" not in page([asked])
    assert "settings: modes" in page([asked])


def test_what_explains_a_table_stays_on_its_page_of_paper(result: RunResult) -> None:
    """Of two paragraphs in front of a table neither may end a page."""
    text = page([replace(result, cases=result.cases[::2])])
    assert re.search(r'</p><p class="muted">engine .*?</p><div class="scroll">', text)
    assert "main > .muted { break-after: avoid; }" in text


def test_several_results_are_sections_of_one_page(result: RunResult) -> None:
    reader = _Reader(page([result, replace(result, cases=result.cases[:2])]))
    assert {key.split("/")[0] for key in reader.figures} == {"0", "1"}


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_run_that_hardly_began_still_makes_a_page(rounds: int) -> None:
    tiny = run_fakes({"a": noise(0.01)}, StopRule(1))
    if not rounds:
        empty = {stage: [] for stage in tiny.cases[0].samples}
        tiny = replace(tiny, cases=(replace(tiny.cases[0], samples=empty, timeline=()),), stopped=None)
    text = page([tiny])
    assert "<h1>" in text
    assert "Percentiles" not in text
    assert "Every frame" not in text
    assert "Stages" in text
    assert "<h1>" in page([replace(tiny, cases=())])


def test_a_frame_of_streams_shows_what_ran_side_by_side() -> None:
    entry = next(e for e in gpu_result().cases if (e.case.dispatch, e.case.groups) == ("streams", 4))
    chart = timeline_chart(entry)
    for row in ("GPU group 1", "GPU group 4", "GPU tiles", "GPU global", "GPU frame", ">frame<"):
        assert row in chart
    assert "GPU group 5" not in chart
    text = overlap_text(entry)
    at_once = float(re.search(r"On the GPU, (\d\.\d) groups", text)[1])  # type: ignore[index]
    assert 1.5 < at_once <= 3
    assert re.search(r"The GPU was busy for [\d.]+ of [\d.]+ ms\.", text)
    serial = next(e for e in gpu_result().cases if (e.case.dispatch, e.case.groups) == ("serial", 4))
    assert "On the GPU, 1.0 groups" in overlap_text(serial)


def test_spans_of_one_group_that_overlap_do_not_hide_each_other() -> None:
    """Such as those of two GPUs, or of an unknown stage."""
    twice = [TimelineSpan("enqueue", 0, "tiles", "device", 0.0, 0.002)] * 2
    entry = CaseResult(Case("e", "fp16", "tiled", "streams", 2), {"end_to_end": [0.003]}, [], 0, tuple(twice))
    heights = re.findall(r'<rect x="[\d.]+" y="([\d.]+)"', timeline_chart(entry))
    assert len(set(heights)) == 2
    assert "other" in timeline_chart(replace(entry, timeline=(replace(twice[0], stage="nose"),)))
    assert timeline_chart(replace(entry, timeline=())) == ""


def test_host_and_device_times_are_kept_apart() -> None:
    text = page([gpu_result()])
    assert text.count(">host</text>") == text.count(">GPU</text>") == 17
    assert "by its clock" in text
    without = page([replace(r := gpu_result(), cases=tuple(_host_only(e) for e in r.cases))])
    assert ">GPU</text>" not in without


def _host_only(entry: CaseResult) -> CaseResult:
    samples = {stage: values for stage, values in entry.samples.items() if not stage.startswith("device_")}
    return replace(entry, samples=samples)


def test_a_long_run_keeps_its_spike_in_the_picture() -> None:
    tiny = run_fakes({"a": noise(0.01)}, StopRule(3000))
    tiny.cases[0].samples["end_to_end"][1234] = 0.5
    text = page([tiny])
    assert "frame 1235: 500 ms" in text
    assert len(text) < 120_000


@pytest.mark.skipif(CHROMIUM is None and not REQUIRED, reason="no Chromium here (apt-get install chromium)")
@pytest.mark.parametrize("kind", ["host", "gpu"])
def test_a_browser_renders_the_page_without_complaints(
    result: RunResult, accuracy: list[EngineFigures], tmp_path: Path, kind: str
) -> None:
    """Also in an empty network: its figures equal the file's, it fits a phone, and it prints."""
    assert CHROMIUM is not None, "YOLOTRT_REQUIRE_BROWSER is set, but there is no Chromium"
    shown = result if kind == "host" else gpu_result()
    target, probe = tmp_path / "page.html", tmp_path / "probe.html"
    target.write_text(page([shown], accuracy))
    probe.write_text(PROBE)
    browser = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*browser, *options], capture_output=True, text=True, timeout=120, check=True)

    # One start renders both: the probe holds the page in a frame as wide as a phone.
    done = run("--dump-dom", probe.as_uri())
    assert "CONSOLE" not in done.stderr
    phone = re.search(r"WIDTH (\d+) CHARTS (\d+)<", done.stdout)
    assert phone is not None
    assert int(phone[1]) <= 360, "the page is wider than a phone"
    assert int(phone[2]) == len(re.findall("<svg", target.read_text()))
    in_the_browser = re.search(r"FIGURES (\{.*?\}) END", done.stdout)
    assert in_the_browser is not None
    assert json.loads(html.unescape(in_the_browser[1])) == _expected(shown)
    run(f"--print-to-pdf={tmp_path / 'page.pdf'}", target.as_uri())
    pdf = (tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 8
