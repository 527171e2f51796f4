"""Sources dealt out to processes, on a processor: what one process does for all, several do together."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.data.clips import clip
from yolotrt.artifacts.documents import read_json
from yolotrt.workflow import outlets
from yolotrt.workflow.build import BuildRequest, build_engine

RUN = ("--mode", "global", "--drop", "block", "--threads", 1, "--conf", 0.001)


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apart-engines")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deal sources out to two processors, as to two GPUs."""
    monkeypatch.setattr("yolotrt.bench.lanes.lanes_of", lambda *_: ["cpu", "cpu"])


def _sources(tmp_path: Path) -> list[str]:
    for name, frames in (("a", 6), ("b", 4), ("c", 5)):
        clip(tmp_path / f"{name}.mp4", frames)
    return [word for name in "abc" for word in ("--source", f"{name}.mp4")]


def _lines(path: Path) -> list[dict[str, object]]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [{name: line[name] for name in line if name != "read_at"} for line in found]
    return sorted(kept, key=lambda line: (line["source"], line["frame"]))


def test_two_processes_do_what_one_does(
    cli: Cli, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alarm.py").write_text(
        "import os\n"
        "def check(found):\n"
        "    with open('calls', 'a') as out:\n"
        "        print(found.source, found.moment.index, found.frame.shape, os.getpid(), file=out)\n"
    )
    sources = _sources(tmp_path)
    (tmp_path / "b.mp4").write_bytes(b"no video")
    outputs = ("--on-frame", "alarm:check", "--save", "seen.mp4", "--deadline", "60s", "--overwrite")
    found = []
    for lines in ("one.jsonl", "two.jsonl"):
        done = cli("run", engine, *RUN, *sources, *outputs, "-o", lines, "--json", "run.json")
        assert done.code == 0, done.err
        assert done.err.count("b.mp4 is given up, the others go on") == 1
        assert "video: seen-3.mp4" in done.err
        report = read_json(tmp_path / "run.json")
        called = [(tmp_path / "calls").read_text().splitlines(), (tmp_path / "calls").unlink()][0]
        found.append(
            {
                "lines": _lines(tmp_path / lines),
                "counts": (report["processed"], report["counts"]["read"], report["counts"]["sizes"]),
                "cameras": [
                    (c["name"], c["processed"], c["late"], c["complaint"]) for c in report["cameras"]
                ],
                "deliveries": [(d["target"], d["written"], d["dropped"]) for d in report["deliveries"][1:]],
                "calls": sorted(line.rpartition(" ")[0] for line in called),
                "fair": report["fairness"],
            }
        )
        processes = {line.rpartition(" ")[2] for line in called}
        monkeypatch.setattr("yolotrt.bench.lanes.lanes_of", lambda *_: ["cpu", "cpu"])
    assert len(found[0]["lines"]) == 11
    assert found[0] == found[1]
    assert len(processes) == 1, "the first and the third source share a process"


@pytest.mark.usefixtures("two_processors")
@pytest.mark.parametrize(
    ("ends", "code", "said"),
    [
        ("os.kill(os.getpid(), 9)", 1, "The process for cpu ended (signal SIGKILL)"),
        ("os.kill(os.getppid(), 2)", 0, "JSON: run.json"),
        ("os.kill(os.getpid(), 15); os.kill(os.getppid(), 2)", 0, "JSON: run.json"),
    ],
    ids=["a process dies", "Ctrl-C", "a supervisor asks all of them to end"],
)
def test_whatever_ends_a_run_of_processes_leaves_its_report(
    cli: Cli, engine: Path, tmp_path: Path, ends: str, code: int, said: str
) -> None:
    (tmp_path / f"end{code}.py").write_text(
        "import os, time\n"
        "def check(found):\n"
        "    if found.source == 'b.mp4' and found.moment.index == 2:\n"
        "        while not os.path.exists('a.seen'): time.sleep(0.01)\n"
        f"        {ends}\n"
        "        time.sleep(0.2)\n"
        "    if found.source == 'a.mp4' and found.moment.index == 1: open('a.seen', 'w').close()\n"
    )
    for name in "ab":
        clip(tmp_path / f"{name}.mp4", 20)
    done = cli(
        "run", engine, *RUN, "--source", "a.mp4", "--source", "b.mp4", "--on-frame", f"end{code}:check",
        "-o", "found.jsonl", "--json", "run.json",
    )  # fmt: skip
    assert done.code == code, done.err
    assert said in done.err
    assert "frames out" in done.out
    report = read_json(tmp_path / "run.json")
    assert report["processed"] >= 2
    written = {d["target"]: d["written"] for d in report["deliveries"]}["found.jsonl"]
    assert written == len(_lines(tmp_path / "found.jsonl")) >= report["processed"]


@pytest.mark.usefixtures("two_processors")
def test_ctrl_c_ends_a_run_of_processes_though_nobody_takes_its_lines(
    cli: Cli, engine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = threading.Event()

    @contextmanager
    def stuck() -> Iterator[Callable[[bytes], object]]:
        yield lambda _: read.wait()

    monkeypatch.setattr(outlets, "LINES", 1)
    monkeypatch.setattr(outlets, "written_lines", lambda _: stuck)
    monkeypatch.setattr(outlets.Outlet.hurry, "__defaults__", (0.2,))
    monkeypatch.setattr(outlets.Outlet.close, "__defaults__", (0.2,))
    (tmp_path / "leave.py").write_text(
        "import os\n"
        "def check(found):\n"
        "    if found.source == 'b.mp4' and found.moment.index == 12: os.kill(os.getppid(), 2)\n"
    )
    for name in "ab":
        clip(tmp_path / f"{name}.mp4", 20)
    sources = ("--source", "a.mp4", "--source", "b.mp4")
    done = cli(
        "run", engine, *RUN, *sources, "-o", "f.jsonl", "--json", "r.json", "--on-frame", "leave:check"
    )
    read.set()
    assert done.code == 1, done.err
    assert "took nothing for 0.2 s at the end of the run" in done.err
    assert read_json(tmp_path / "r.json")["processed"] >= 13


@pytest.mark.usefixtures("two_processors")
def test_errors_of_a_process_are_the_command_s_own(cli: Cli, engine: Path, tmp_path: Path) -> None:
    sources = _sources(tmp_path)
    (tmp_path / "found.jsonl").write_text('{"source": "of an earlier run"}\n')
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "broken2.mp4").write_bytes(b"no video")
    broken = ("--source", "broken.mp4", "--source", "broken2.mp4")
    for words, code, why in (
        ((*sources, "--on-frame", "nothing_of_this_name:f"), 2, "nothing_of_this_name"),
        (broken, 1, "broken.mp4"),
    ):
        done = cli("run", engine, *RUN, *words, "-o", "found.jsonl")
        assert done.code == code, done.err
        assert why in done.err
        assert "hint:" in done.err
        assert "Traceback" not in done.err
        assert "of an earlier run" in (tmp_path / "found.jsonl").read_text(), "nothing came instead of it"
