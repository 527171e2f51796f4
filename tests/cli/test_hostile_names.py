"""Every verb that prints names, with names that would steer a terminal if they were printed as they are."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from tests.cli.conftest import Cli, Done
from tests.cli.conftest import cli as cli
from tests.tiny_yolo import tiny_yolo

EVIL = "[red]a[/] \x1b]0;t\x07\x1b[31m\u202e\x9b\n# x"
"""Markup, a title and a colour for the terminal, an override of the direction, and a new line."""

CLASS = f"cat {EVIL}"
FILE = EVIL.replace("/", "") + "\udcff"
"""With a byte that is no UTF-8, as names of files may have."""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A folder of an evil name with a network, pictures, annotations and a video, all of evil names."""
    folder = tmp_path / f"in {FILE}"
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    network = tiny_yolo()
    del network.metadata_props[:]
    for key, value in {"stride": "32", "names": repr({0: CLASS, 1: f"dog {EVIL}"}), "description": EVIL,
                       "author": EVIL, EVIL: EVIL}.items():  # fmt: skip
        network.metadata_props.add(key=key, value=value)
    network.producer_name = EVIL
    (folder / f"net {FILE}.onnx").write_bytes(network.SerializeToString())
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    written = cv2.imencode(".png", cv2.resize(noise, (100, 80)))[1].tobytes()
    for name in (f"{FILE} 1.png", f"{FILE} 2.png"):
        (pictures / name).write_bytes(written)
    (pictures / f"{FILE} broken.png").write_bytes(b"no picture")
    box = [10, 10, 40, 40]
    outline = [[10, 10, 50, 10, 50, 50, 10, 50]]
    record = {"category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0, "segmentation": outline}
    annotations = {
        "images": [{"id": i, "file_name": f"{FILE} {i}.png", "width": 100, "height": 80} for i in (1, 2)],
        "annotations": [{**record, "id": i, "image_id": i} for i in (1, 2)],
        "categories": [{"id": 1, "name": CLASS}, {"id": 2, "name": f"other {EVIL}"}],
    }
    (folder / "truth.json").write_text(json.dumps(annotations))
    clip = cv2.VideoWriter(
        str(tmp_path / f"clip {FILE[:-1]}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 64)
    )
    for k in range(3):
        clip.write(np.full((64, 64, 3), 60 * k, np.uint8))
    clip.release()
    return folder


def tame(done: Done) -> Done:
    """Hold what was printed against the rule, and return it."""
    assert "Traceback" not in done.err, done.err
    for text in (done.out, done.err):
        steers = re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\ud800-\udfff]|^# x", text, re.MULTILINE)
        assert not steers, text[max(0, steers.start() - 80) : steers.end() + 40]
    return done


def test_every_verb_shows_evil_names_and_obeys_none(cli: Cli, world: Path) -> None:
    network, pictures = world / f"net {FILE}.onnx", world / "pictures"
    clip, engine = world.parent / f"clip {FILE[:-1]}.avi", world / f"engine {FILE}.onnx"
    shown = "] \\x1b]0;t\\x07"
    given = ("--threads", 1, "--trust")
    told = {
        "inspect": tame(cli("inspect", network)),
        "calibrate": tame(cli("calibrate", network, "--images", pictures, "--threads", 1)),
        "build": tame(cli("build", network, "-o", engine, "--images", pictures)),
        "engine": tame(cli("inspect", engine)),
        "predict": tame(cli("predict", engine, pictures, "--save", world / "out", "--conf", 0.3)),
        "video": tame(cli("predict", engine, clip, "--mode", "global", "--conf", 0.3)),
        "run": tame(cli("run", engine, "--source", clip, "--duration", 5)),
        "bench": tame(
            cli("bench", engine, "--source", pictures / f"{FILE} 1.png", "--groups", 1, "-n", 3,
                "--warmup", 0, *given, "-o", "r.json", "--markdown", "r.md", "--csv", "r.csv",
                "--html", "r.html")
        ),
        "report": tame(cli("report", "r.json", "--budget", "end_to_end=1ms")),
        "compare": tame(cli("compare", "r.json", "r.json", "--markdown", "c.md")),
        "eval": tame(
            cli("eval", engine, "--images", pictures, "--annotations", world / "truth.json", "--per-class",
                *given)
        ),
        "mosaics": tame(
            cli("mosaics", "--images", pictures, "--annotations", world / "truth.json", "--out",
                world / "mosaics", "--size", "320x320")
        ),
        "scenes": tame(cli("scenes", "--out", world / "scenes", "--count", 1, "--size", "320x320")),
        "tune": tame(
            cli("tune", network, "--groups", 1, "--dispatch", "serial", "--precisions", "fp32", "--mode",
                "global", "--source", pictures / f"{FILE} 1.png", "--state", world / "state.json")
        ),
    }  # fmt: skip
    for verb, done in told.items():
        assert shown in done.out + done.err, f"{verb}: {done}"
    failed = {verb: done.err for verb, done in told.items() if done.code not in (0, 3)}
    assert not failed


def test_errors_show_evil_names_and_obey_none(cli: Cli, world: Path) -> None:
    missing = world / f"missing {FILE}"
    (world / f"config {FILE}.yaml").write_text(f'tiles:\n  engine: {json.dumps(EVIL)}\n  "{"a"}\\n# x": 1\n')
    (world / f"broken {FILE}.json").write_text(json.dumps({EVIL: EVIL}))
    (world / f"weights {FILE}.onnx").write_bytes(b"no network")
    for command in (
        ("predict", missing, missing),
        ("predict", world / f"net {FILE}.onnx", missing),
        ("predict", "a", "b", missing),  # one argument too many: typer says so
        ("predict", f"--{EVIL}"),
        ("bench", "--config", world / f"config {FILE}.yaml"),
        ("bench", missing, "--mode", EVIL),
        ("report", world / f"broken {FILE}.json"),
        ("inspect", world / f"weights {FILE}.onnx"),
        ("eval", missing, "--images", missing, "--annotations", missing),
        ("download", EVIL),
        ("download", "--images", 1, "--base-url", world),
        ("download", "--verify", "--out", missing),
        (EVIL,),
    ):
        done = tame(cli(*command))
        assert done.code in (1, 2), done
        assert "x" in done.err


@pytest.mark.parametrize("length", [255, 256], ids=["longest", "too-long"])
def test_long_names_are_used_or_refused_in_a_line(cli: Cli, length: int) -> None:
    """Names that are derived from the longest one, such as a sidecar's, do not fit any more."""

    def long(ending: str) -> Path:
        return Path("x" * (length - len(ending)) + ending)

    os.mkdir("pictures")
    cv2.imwrite("pictures/p.png", np.full((64, 64, 3), 99, np.uint8))
    Path("net.onnx").write_bytes(tiny_yolo().SerializeToString())
    fits = length == 255
    if fits:
        long(".onnx").write_bytes(Path("net.onnx").read_bytes())
        long(".json").write_text("{}")
        cv2.imwrite(str(Path("pictures") / long(".png")), np.full((64, 64, 3), 99, np.uint8))
    picture = Path("pictures") / long(".png")
    for right, command in (
        (fits, ("predict", long(".onnx"), picture, "--trust", "--mode", "global", "--save", "found")),
        (False, ("predict", long(".onnx"), picture)),
        (False, ("predict", "net.onnx", "pictures", "--annotations", long(".json"), "--json", "r.json")),
        (fits, ("run", long(".onnx"), "--source", picture, "--trust", "--mode", "global")),
        (fits, ("inspect", long(".onnx"))),
        (False, ("inspect", long(".json"))),
        (False, ("calibrate", "net.onnx", "--images", long(""))),
        (False, ("calibrate", long(".onnx"), "--images", "pictures")),
        (False, ("build", long(".onnx"), "--fp32", "--backend", "onnxruntime")),
        (False, ("build", "net.onnx", "--fp32", "--backend", "onnxruntime", "-o", long(".onnx"))),
        (False, ("eval", "net.onnx", "--images", long(""), "--annotations", long(".json"), "--trust")),
        (False, ("tune", "net.onnx", "--source", long(".png"))),
    ):  # fmt: skip
        done = tame(cli(*command))
        assert done.code == (0 if right else 1), (command, done)


def test_a_bug_shows_evil_names_and_obeys_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    import yolotrt.workflow.describe as room

    def broken(*_: object, **__: object) -> None:
        raise KeyError(f"{EVIL}") from ValueError(f"\x1b{EVIL}")

    monkeypatch.setattr(room, "describe", broken)
    done = cli("inspect", "x.onnx")
    assert "Traceback" in done.err
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.err)


def test_json_keeps_evil_names_as_data(cli: Cli, world: Path) -> None:
    network, picture = world / f"net {FILE}.onnx", next((world / "pictures").glob("* 1.png"))
    given = ("--trust", "--mode", "global", "--json", "-")
    done = tame(cli("predict", network, picture, "--conf", 0.3, *given))
    assert json.dumps(picture.name) in done.out
    assert json.dumps(CLASS) in done.out
    assert json.loads(done.out)


def test_a_terminal_without_the_character_gets_its_number(world: Path) -> None:
    import subprocess
    import sys

    picture = world / "pictures" / "Größe 日本.png"
    os.rename(next((world / "pictures").glob("* 1.png")), picture)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = (sys.executable, "-m", "yolotrt", "predict", world / f"net {FILE}.onnx", picture, "--trust")
    done = subprocess.run(command, capture_output=True, env=environment, cwd=world)
    assert done.returncode == 0, done.stderr
    assert b"Gr\\xf6\\xdfe \\u65e5\\u672c.png" in done.stdout


def test_the_world_is_evil(world: Path) -> None:
    network = onnx.load_model_from_string(next(world.glob("net*")).read_bytes())
    assert any("\x1b" in prop.value for prop in network.metadata_props)
