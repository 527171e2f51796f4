"""What CI reads: JUnit XML, the action's steps as a runner takes them, Prometheus over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from ruamel.yaml import YAML

from tests.bench.fakes import result_of
from tests.cli.conftest import Cli
from yolotrt.bench.budgets import Budgets
from yolotrt.bench.compare import compare
from yolotrt.bench.result import write_result
from yolotrt.cli.metrics import address, serving
from yolotrt.errors import EnvironmentFault, UsageError
from yolotrt.report.junit import budgets_junit, comparison_junit
from yolotrt.workflow.build import BuildRequest, build_engine

ROOT = Path(__file__).parents[2]
STEADY = [0.0100, 0.0101, 0.0099, 0.0100, 0.0102, 0.0098] * 25


def test_each_budget_is_a_test_case_that_a_junit_parser_reads(tmp_path: Path) -> None:
    budgets = Budgets.parse(["end_to_end=10.5ms"], "p95")
    slow = [1.2 * s for s in STEADY]
    kept, few = result_of(STEADY, slow, budgets=budgets), result_of(STEADY[:20], budgets=budgets)
    text = budgets_junit([kept, few])
    root = ET.fromstring(text)
    assert [[(c.tag) for c in case] for case in root.iter("testcase")] == [[], ["failure"], ["error"]]
    assert [suite.get("tests") for suite in root] == ["2", "1"]
    (tmp_path / "j.xml").write_text(text)
    parser = pytest.importorskip("junitparser", reason="reads JUnit XML; in the dev extra")
    read = parser.JUnitXml.fromfile(str(tmp_path / "j.xml"))
    assert (read.tests, read.failures, read.errors) == (3, 1, 1)
    compared = comparison_junit(compare(result_of(STEADY), result_of(slow)))
    assert parser.JUnitXml.fromstring(compared.encode()).failures == 1


def test_names_that_xml_has_no_place_for_are_written_out() -> None:
    result = result_of(STEADY, budgets=Budgets({"end_to_end": 1.0}))
    case = result.cases[0]
    strange = type(case)(
        type(case.case)('a\x00<&"\ud800\uffff', "fp32", "tiled", "serial", 1), case.samples, [], 0
    )
    (read,) = ET.fromstring(budgets_junit([type(result)(**{**vars(result), "cases": (strange,)})])).iter(
        "testcase"
    )
    assert '<&"' in str(read.get("classname"))


def test_a_deadline_and_budgets_are_judged_again_without_measuring(cli: Cli, tmp_path: Path) -> None:
    write_result(tmp_path / "r.json", result_of(STEADY))
    assert cli("report", "r.json", "--budget", "end_to_end=11ms", "--junit", "j.xml").code == 0
    assert ET.parse(tmp_path / "j.xml").getroot().find(".//failure") is None
    assert cli("report", "r.json", "--budget", "end_to_end=9ms", "--junit", "j.xml").code == 3
    assert ET.parse(tmp_path / "j.xml").getroot().find(".//failure") is not None
    few = cli("report", "r.json", "--budget", "end_to_end=11ms", "--budget-stat", "p99")
    assert few.code == 1
    assert "662 are needed" in few.err
    assert "Budgets, ms" in few.err, "which one, and what it took"
    passing = ("--budget", "end_to_end=11ms", "--budget-stat", "p99", "--undecided", "pass")
    assert cli("report", "r.json", *passing).code == 0


def test_the_actions_steps_measure_both_commits_and_comment(tiny_onnx: Path, tmp_path: Path) -> None:
    """As a runner takes them: each step's shell lines, with its inputs in the environment."""
    source = tmp_path / "repository"
    source.mkdir()
    cv2.imwrite(str(source / "p.png"), np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8))
    build_engine(BuildRequest(tiny_onnx, backend="onnxruntime", output=source / "e.onnx"), say=lambda _: None)
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "base"]):
        subprocess.run([*git, *command], cwd=source, check=True)
    base = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=source, check=True, capture_output=True, text=True
    )
    tools, runner = tmp_path / "bin", tmp_path / "runner"
    for folder in (tools, runner):
        folder.mkdir()
    _script(tools / "yolotrt", f'exec {sys.executable} -m yolotrt "$@"')
    _script(tools / "gh", f'echo "$@" > {tmp_path}/gh.txt')
    inputs = {"engine": "e.onnx", "source": "p.png", "budget": "end_to_end=60s", "base": base.stdout.strip(),
              "options": "--mode global -n 12 --warmup 1 --threads 1", "fail-on": "900%"}  # fmt: skip
    done = _run_action(inputs, source, runner, tools)
    assert len(done) == 6
    assert (done[0], done[-1]) == ("Install", "Judge")
    results = runner / "yolotrt"
    written = {"head.json", "base.json", "comment.md", "budgets.xml", "compare.xml"}
    assert {path.name for path in results.iterdir()} >= written
    assert "yolotrt: " in (runner / "summary").read_text()
    assert (tmp_path / "gh.txt").read_text().startswith(f"pr comment 7 --body-file {results}/comment.md")


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/bash\n{line}\n")
    path.chmod(0o755)


def _run_action(inputs: dict[str, str], source: Path, runner: Path, tools: Path) -> list[str]:
    """Run the steps as GitHub does, but for installing; return their names."""
    action = YAML(typ="safe").load((ROOT / "action.yml").read_text())
    given = {name: str(about.get("default", "")) for name, about in action["inputs"].items()} | inputs
    outputs: dict[str, str] = {}
    names = []
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        names.append(step["name"])
        if step["name"] == "Install":
            assert step["run"] == 'python -m pip install --quiet "$GITHUB_ACTION_PATH"'
            continue
        known = {**{f"inputs.{name}": value for name, value in given.items()}, **outputs,
                 "github.event.pull_request.number": "7"}  # fmt: skip
        environment = {name: _filled(value, known) for name, value in step.get("env", {}).items()}
        files = {name: runner / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        files["GITHUB_STEP_SUMMARY"] = runner / "summary"
        subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=source, check=True,
            env={**os.environ, **environment, **_given(files, runner, tools)},
        )  # fmt: skip
        for line in files["GITHUB_OUTPUT"].read_text().splitlines():
            name, value = line.split("=", 1)
            outputs[f"steps.{step.get('id')}.outputs.{name}"] = value
    return names


def _given(files: dict[str, Path], runner: Path, tools: Path) -> dict[str, str]:
    """Return what every step has in its environment."""
    path = f"{tools}:{os.environ['PATH']}"
    paths = {name: str(path) for name, path in files.items()}
    return {**paths, "RUNNER_TEMP": str(runner), "PATH": path, "PYTHONPATH": str(ROOT)}


def _filled(value: str, known: dict[str, str]) -> str:
    """Put in what stands in ``${{ }}``; a name that nobody knows is an error."""
    return re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], value)


def test_metrics_are_served_while_a_run_goes_on(cli: Cli, tiny_onnx: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip"
    clip.mkdir()
    for index in range(30):
        cv2.imwrite(str(clip / f"{index:02}.png"), np.full((96, 128, 3), index, np.uint8))
    seen: list[str] = []
    port = _free_port()

    def read() -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until and not any("frames_processed_total" in text for text in seen):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=1) as reply:
                    assert "version=0.0.4" in reply.headers["Content-Type"]
                    seen.append(reply.read().decode())
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.05)

    reader = threading.Thread(target=read)
    reader.start()
    done = cli("run", tiny_onnx, "--trust", "--source", clip, "--arrival", "20fps", "--deadline", "60s",
               "--mode", "global", "--threads", 1, "--metrics", f":{port}", "--json", "r.json")  # fmt: skip
    reader.join()
    assert done.code == 0, done.err
    assert f"metrics: http://127.0.0.1:{port}/metrics" in done.err
    assert 'yolotrt_run_info{engine="tiny-seg.onnx"' in seen[-1]
    assert 'yolotrt_latency_seconds{quantile="0.5"}' in seen[-1]
    assert 'quantile="0.99"' not in seen[-1], "so few frames cannot tell it"
    parser = pytest.importorskip(
        "prometheus_client.parser", reason="Prometheus' own reader; in the dev extra"
    )
    families = {family.name: family for family in parser.text_string_to_metric_families(seen[-1])}
    assert families["yolotrt_frames_processed"].type == "counter"
    late, dropped = (families[f"yolotrt_frames_{name}"].samples[0].value for name in ("late", "dropped"))
    assert late == dropped, "what a busy machine dropped has no result in time, and nothing else is late"
    assert families["yolotrt_memory_bytes"].samples[0].value > 1e6


def _free_port() -> int:
    with serving(("127.0.0.1", 0), "text/plain", lambda said: addresses.append(said)):
        return int(addresses[-1].rsplit(":", 1)[1].split("/")[0])


addresses: list[str] = []


def test_an_address_is_on_localhost_unless_a_host_is_named() -> None:
    assert address(":9400") == ("127.0.0.1", 9400)
    assert address("0.0.0.0:9400") == ("0.0.0.0", 9400)
    for wrong in ("9400", ":", "a b:1", ":70000", ":-1"):
        with pytest.raises(UsageError):
            address(wrong)
    with serving(("127.0.0.1", 0), "text/plain", addresses.append):
        taken = int(addresses[-1].rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(EnvironmentFault), serving(("127.0.0.1", taken), "text/plain", addresses.append):
            pass
