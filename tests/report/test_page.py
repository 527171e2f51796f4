"""The page: its figures are the result's, it needs nothing else, and a browser does not complain."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.bench.fakes import noise, run_fakes
from yolotrt.bench.environment import environment
from yolotrt.bench.result import Case, CaseResult, RunResult, TimelineSpan, read_result, write_result
from yolotrt.bench.statistics import summarize
from yolotrt.bench.stopping import StopRule
from yolotrt.report.accuracy import Accuracy
from yolotrt.report.page import page
from yolotrt.report.tables import milliseconds, ratio_text, speed_up

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files",
)  # fmt: skip
PROBE = """
<iframe id="frame" src="page.html" style="width:360px;height:800px"></iframe><pre id="out"></pre><script>
onload = () => {
  const page = document.getElementById("frame").contentDocument;
  const charts = [...page.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().height > 20);
  document.getElementById("out").textContent =
    "WIDTH " + page.documentElement.scrollWidth + " CHARTS " + charts.length;
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
        {"source": "<scene> & 'more'", "frame_px": "3840x2160"},
        {**environment(2), "engines": {f"yolo.{p}.onnx": {"sha256": p * 16} for p in ("int8", "fp32")}},
        tuple(cases),
        notes=("A note with <b>markup</b>.",),
        stopped={"measure": "iterations"},
        budgets={"end_to_end": 0.012, "stat": "p95"},
    )
    path = write_result(tmp_path_factory.mktemp("page") / "r.json", made)
    return read_result(path)


@pytest.fixture(scope="module")
def accuracy() -> list[Accuracy]:
    change = (-0.004, -0.006, -0.002)
    return [
        Accuracy("yolo.fp32.onnx", "fp32" * 16, "global", 100, 0.4, 0.32, None, None),
        Accuracy("yolo.int8.onnx", "int8" * 16, "global", 100, 0.396, 0.316, change, change),
        Accuracy("other.onnx", "?", "global", 100, 0.1, None, None, None),
    ]


class _Reader(HTMLParser):
    """Collects the figures and every address; notes tags that are closed wrongly."""

    VOID = frozenset({"meta", "link", "br"})

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
    """Compute every figure of the large table from the raw samples."""
    found = {}
    for index, entry in enumerate(result.cases):
        summary = summarize(entry.samples["end_to_end"])
        assert summary is not None
        assert summary.p50_interval is not None
        for name, text in (
            ("median", milliseconds(summary.p50)),
            ("95 % interval", " to ".join(milliseconds(v) for v in summary.p50_interval)),
            ("p95", milliseconds(summary.p95)),
            ("p99", milliseconds(summary.p99)),
            ("frames/s", f"{1 / summary.mean:.2f}"),
            ("vs groups=1", ratio_text(speed_up(entry, result.cases))),
            ("found", str(entry.detections)),
        ):
            found[f"0/{index}/{name}"] = text
    return found


def test_every_figure_on_the_page_is_that_of_the_result(result: RunResult) -> None:
    reader = _Reader(page([result]))
    assert reader.figures == _expected(result)
    assert reader.open == []


def test_the_page_is_one_file_without_scripts_and_addresses(
    result: RunResult, accuracy: list[Accuracy]
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
    result: RunResult, accuracy: list[Accuracy]
) -> None:
    text = page([result], accuracy)
    assert "Accuracy over latency" in text
    assert "-0.40 (-0.60 to -0.20)" in text
    assert "other.onnx" not in text
    assert "Accuracy" not in page([result])


def test_budgets_met_and_missed_are_told_apart(result: RunResult) -> None:
    text = page([result])
    assert re.search(
        r'class="missed">missed</span> end_to_end p95 within 12.0 ms: met by \d of 10 cases', text
    )
    met = page([replace(result, budgets={"end_to_end": 9.0, "stat": "p50"})])
    assert "met by 10 of 10 cases" in met
    assert "missed by" not in met


def test_several_results_are_sections_of_one_page(result: RunResult) -> None:
    reader = _Reader(page([result, replace(result, cases=result.cases[:2])]))
    assert {key.split("/")[0] for key in reader.figures} == {"0", "1"}


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_run_that_hardly_began_still_makes_a_page(rounds: int) -> None:
    tiny = run_fakes({"a": noise(0.01)}, StopRule(1))
    if not rounds:
        empty = {stage: [] for stage in tiny.cases[0].samples}
        tiny = replace(tiny, cases=(replace(tiny.cases[0], samples=empty, timeline=()),), stopped={})
    assert "<h1>" in page([tiny])
    assert "<h1>" in page([replace(tiny, cases=())])


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")
def test_a_browser_renders_the_page_without_complaints(
    result: RunResult, accuracy: list[Accuracy], tmp_path: Path
) -> None:
    """Also in an empty network: its figures equal the file's, it fits a phone, and it prints."""
    target = tmp_path / "page.html"
    target.write_text(page([result], accuracy))
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE)
    browser = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"]

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*browser, *options], capture_output=True, text=True, timeout=120, check=True)

    shown = run("--dump-dom", target.as_uri())
    assert "CONSOLE" not in shown.stderr
    assert _Reader(shown.stdout).figures == _expected(result)
    phone = re.search(r"WIDTH (\d+) CHARTS (\d+)", run("--dump-dom", probe.as_uri()).stdout)
    assert phone is not None
    assert int(phone[1]) <= 360, "the page is wider than a phone"
    assert int(phone[2]) == len(re.findall("<svg", target.read_text()))
    run(f"--print-to-pdf={tmp_path / 'page.pdf'}", target.as_uri())
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
