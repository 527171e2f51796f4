"""Where ``yolotrt run`` puts its results, and several sources at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from benchmarks.forked import Commands
from tests.cli.conftest import Cli
from tests.data.clips import clip, turn
from tests.data.streams import RtspCamera, needs_ffmpeg
from yolotrt.artifacts.documents import read_json
from yolotrt.data.video_file import VideoFile
from yolotrt.workflow.build import BuildRequest, build_engine

STAMPS = [5000, 5040, 5100, 5400, 5420, 5500]


@pytest.fixture(scope="module")
def engine(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output-engines")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A video of a variable rate with B-frames, whose first time stamp is not 0."""
    return clip(tmp_path / "street.mkv", 6, times_ms=STAMPS, options={"bf": "3", "b_strategy": "0"})


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _run(cli: Cli, engine: Path, *arguments: object, code: int = 0) -> str:
    settings = ("--mode", "global", "--drop", "block", "--threads", 1)
    done = cli("run", engine, *settings, *arguments)
    assert done.code == code, done.err
    return done.out + done.err


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_time_stamps_reach_every_record_and_the_film(
    cli: Cli, engine: Path, street: Path, tmp_path: Path
) -> None:
    out = _run(
        cli, engine, street, "--conf", 0.001, "-o", "found.jsonl", "--save", "seen.mp4", "--json", "r.json"
    )
    assert "frames out" in out
    lines = _lines(tmp_path / "found.jsonl")
    assert [line["source"] for line in lines] == [str(street)] * 6
    assert [line["frame"] for line in lines] == list(range(6))
    assert [line["stamp_s"] for line in lines] == [s / 1000 for s in STAMPS]
    times = [(s - STAMPS[0]) / 1000 for s in STAMPS]
    assert [line["time_s"] for line in lines] == pytest.approx(times)
    with closing(VideoFile(tmp_path / "seen.mp4")) as video:
        assert [frame.moment.time_s for frame in video.frames()] == pytest.approx(times, abs=1e-3)
    things = [thing for line in lines for thing in line["objects"]]  # type: ignore[attr-defined]
    assert things
    assert coco_mask.decode(things[0]["segmentation"]).shape == (48, 64)
    report = read_json(tmp_path / "r.json")
    assert [(d["target"], d["written"], d["dropped"]) for d in report["deliveries"]] == [
        ("found.jsonl", 6, 0), ("seen.mp4", 6, 0),
    ]  # fmt: skip


def test_a_phone_s_video_is_upright_in_the_film(cli: Cli, engine: Path, tmp_path: Path) -> None:
    turn(clip(tmp_path / "phone.mp4", 2), 0, 1, -1, 0)
    _run(cli, engine, "phone.mp4", "--conf", 0.99, "-o", "found.jsonl", "--save", "seen.mp4")
    line = _lines(tmp_path / "found.jsonl")[0]
    assert (line["width"], line["height"]) == (48, 64)
    with closing(VideoFile(tmp_path / "seen.mp4")) as video:
        image = next(iter(video.frames())).image
    assert image.shape == (64, 48, 3)
    assert image[:12, 40:].mean() > 200, "the white corner has turned to the right"


def test_several_sources_share_the_pipeline_and_are_told_apart(
    cli: Cli, engine: Path, street: Path, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    out = _run(
        cli, engine, "--source", street, "--source", "bad.mp4", "--source", pictures, "--deadline", "60s",
        "-o", "found.jsonl", "--save", "seen.mp4", "--json", "r.json",
    )  # fmt: skip
    assert "bad.mp4 is given up, the others go on" in out
    assert "fairness 1.000" in out
    lines = _lines(tmp_path / "found.jsonl")
    names = [str(line["source"]) for line in lines]
    assert (names.count(str(street)), names.count(str(pictures))) == (6, 4)
    report = read_json(tmp_path / "r.json")
    first, second, third = report["cameras"]
    assert (first["processed"], second["processed"], third["processed"]) == (6, 0, 4)
    assert "cannot be opened" in second["complaint"]
    assert (first["late"], first["failed"], report["fairness"]) == (0, 0, 1)
    assert first["latency"]["p50"] > 0
    assert (tmp_path / "seen-1.mp4").exists()
    assert (tmp_path / "seen-3.mp4").exists()
    assert not (tmp_path / "seen-2.mp4").exists()
    again = cli("report", "r.json")
    assert again.code == 0
    assert "fairness 1.000" in again.out


def test_a_function_of_the_user_s_gets_every_result(
    cli: Cli, engine: Path, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alarm_here.py").write_text(
        "from pathlib import Path\n"
        "def check(found):\n"
        "    with Path('calls').open('a') as out:\n"
        "        print(found.source, found.moment.index, found.frame.shape, found.names[0], file=out)\n"
        "def broken(found):\n"
        "    raise ValueError('no')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    _run(cli, engine, street, "--on-frame", "alarm_here:check")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert len(calls) == 6
    assert calls[5].startswith(f"{street} 5 (48, 64, 3)")
    out = _run(cli, engine, street, "--on-frame", "alarm_here:broken", "-o", "found.jsonl", code=1)
    assert "got 0 results of 6: ValueError: no (alarm_here.py, line 6)" in out
    assert len(_lines(tmp_path / "found.jsonl")) == 6, "the other outlet has all"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--on-frame", "nothing_of_this_name:f"), "nothing_of_this_name"),
        (("--on-frame", "json"), "names no function"),
        (("--on-frame", "json:__name__"), "is no function"),
        (("--save", "seen.avi"), "is no .mp4"),
        (("-o", "-", "--json", "-"), "cannot share stdout"),
        (("--size", "big"), "no size of frames"),
        (("--decoder", "vaapi"), "auto, nvdec, pyav, opencv"),
        (("--decoder", "nvdec"), "--device cuda:0"),
        (("--decoder", "opencv"), "neither"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_a_hint(
    cli: Cli, engine: Path, street: Path, arguments: tuple[str, ...], words: str
) -> None:
    out = _run(cli, engine, street, *arguments, code=2)
    assert words in out
    assert "hint:" in out


def test_outputs_replace_only_what_a_run_wrote(cli: Cli, engine: Path, street: Path, tmp_path: Path) -> None:
    for _ in range(2):
        _run(cli, engine, street, "-o", "found.jsonl", "--save", "seen.mp4")
    (tmp_path / "mine.jsonl").write_text('{"mine": 1}\n')
    clip(tmp_path / "holiday.mp4", 2)
    for option, name in (("-o", "mine.jsonl"), ("--save", "holiday.mp4"), ("--save", "street.mp4")):
        source = street.rename(tmp_path / "street.mp4") if name == "street.mp4" else street
        before = (tmp_path / name).read_bytes()
        done = cli("run", engine, source, option, name)
        assert done.code != 0
        assert (tmp_path / name).read_bytes() == before


def _start(engine: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "yolotrt", "run", engine, "--mode", "global", "--threads", 1, *arguments]
    return subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def test_a_disk_that_gets_full_ends_the_lines_and_not_the_run(
    commands: Commands, engine: Path, tmp_path: Path
) -> None:
    target = tmp_path / "found.jsonl"
    clip(tmp_path / "v.mp4", 12)
    run = ("run", engine, "v.mp4", "--mode", "global", "--conf", 0.99, "--drop", "block", "-o", target)
    done = commands.start(run, tmp_path, ["tests.faults.within:become_limited", 1000]).done()
    assert done.code == 1
    assert "frames out                │ 12 " in done.stdout
    assert "found.jsonl takes no more results: Cannot write" in done.stderr
    lines = _lines(target)
    assert 0 < len(lines) < 12
    assert f"got {len(lines)} results of 12" in done.stderr


def test_raw_frames_come_from_a_pipe_and_lines_go_to_another(engine: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 48 * 3 // 2, 64), np.uint8)
    given = ("-", "--size", "64x48", "--pixel-format", "nv12", "--drop", "block", "-o", "-")
    out, err = _start(engine, *given).communicate(frames.tobytes() + bytes(9), timeout=60)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["source"], line["frame"], line["width"]) for line in lines] == [
        ("stdin", k, 64) for k in range(3)
    ]
    assert b"9 of 4608 bytes" in err
    assert b"frames out" in err, "the table does not mix with the lines"


@needs_ffmpeg
def test_an_rtsp_camera_that_stalls_and_one_that_is_not_there_hurt_nobody(
    engine: Path, tmp_path: Path
) -> None:
    cameras = [RtspCamera(tmp_path / name) for name in ("a", "b")]
    for camera in cameras:
        camera._folder.mkdir()
        camera.on("160x128")
    sources = [f"--source={camera.address}" for camera in cameras]
    absent = "rtsp://user:secret@127.0.0.1:1/x"
    report = tmp_path / "run.json"
    running = _start(
        engine, *sources, "--source", absent, "--timeout", 0.5, "--json", report, "-o", "-", "--duration", 60
    )
    try:
        assert running.stdout is not None
        came = {camera.address: 0 for camera in cameras}
        deadline = time.monotonic() + 40
        while min(came.values()) < 10 and time.monotonic() < deadline:
            came[json.loads(running.stdout.readline())["source"]] += 1
        cameras[0].stall()
        after = 0
        while after < 25 and time.monotonic() < deadline:
            after += json.loads(running.stdout.readline())["source"] == cameras[1].address
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
        for camera in cameras:
            camera.off()
    assert running.returncode == 0, err
    assert b"secret" not in err
    stalled, good, missing = read_json(report)["cameras"]
    assert stalled["counts"]["interruptions"] >= 1
    assert good["processed"] >= 35
    assert (good["counts"]["interruptions"], good["failed"]) == (0, 0)
    assert (missing["processed"], missing["name"]) == (0, "rtsp://127.0.0.1:1/x")
