"""Full disks and read-only folders: one clear error with a hint, and what was there is as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.forked import Commands, Done
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.data.coco.world import make_world, unpacked_to
from tests.faults.places import (
    assert_one_clear_error,
    contents,
    environment,
    in_full,
    in_read_only,
    require_mounts,
    size_of,
)
from tests.tiny_yolo import write_tiny_yolo
from yolotrt.artifacts.kinds import HTML_MARK, MARKDOWN_MARK
from yolotrt.backends.sidecar import read_engine
from yolotrt.data.scenes.files import write_scenes
from yolotrt.quantization.cache import read_ranges

ENGINE = "engines/tiny.int8.onnxruntime.onnx"
Args = list[object]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks of one name, pictures, and a copy of COCO's server; outside of the folder that is full."""
    folder = tmp_path_factory.mktemp("inputs")
    for name, seed in (("old", 1), ("new", 0)):
        (folder / name).mkdir()
        write_tiny_yolo(folder / name / "tiny.onnx", seed=seed)
    import cv2
    import numpy as np

    (folder / "pictures").mkdir()
    for index in range(3):
        picture = cv2.resize(np.random.default_rng(index).integers(0, 256, (6, 8, 3), np.uint8), (160, 120))
        cv2.imwrite(str(folder / "pictures" / f"{index}.jpg"), picture)
    unpacked_to(folder / "mirror", make_world(20))
    truth = write_scenes(folder / "scenes", 1, 0, (320, 240))
    truth.write_text(truth.read_text().replace('"disc"', '"cat"'))  # a class that the networks have
    return folder


def of_verbs(inputs: Path, version: str, images: int) -> dict[str, Args]:
    """Return every verb that leaves files, as it is run first (old) and then on a broken disk (new)."""
    model, pictures = inputs / version / "tiny.onnx", inputs / "pictures"
    return {
        "calibrate": ["calibrate", model, "--images", pictures],
        "build": ["build", model, "--int8", "--images", pictures, "-o", ENGINE],
        "download": ["download", "--images", images, "--out", "coco", "--base-url", inputs / "mirror"],
        "bench": [
            *("bench", ENGINE, "--source", inputs / "pictures" / "0.jpg", "--groups", "1"),
            *("-n", images, "--warmup", 0, "-o", "result.json"),
        ],
    }


@pytest.fixture(scope="module")
def earlier(inputs: Path, commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an earlier run of every verb left."""
    folder = tmp_path_factory.mktemp("earlier")
    for verb in ("build", "download", "bench"):
        done = commands.run(of_verbs(inputs, "old", 3)[verb], folder)
        assert done.code == 0, done.stderr
    return folder


@pytest.fixture
def folder(earlier: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(earlier, tmp_path / "work"))


def limited(commands: Commands, folder: Path, arguments: Args) -> Done:
    """Run a command that may write no file of more than 1,000 bytes."""
    return commands.start(arguments, folder, ["tests.faults.within:become_limited", 1000]).done()


VERBS = ("calibrate", "build", "download", "bench")


@pytest.mark.parametrize("verb", VERBS)
def test_a_read_only_folder(commands: Commands, folder: Path, inputs: Path, verb: str) -> None:
    before = contents(folder)
    done = in_read_only(commands, folder, of_verbs(inputs, "new", 9)[verb])
    assert_one_clear_error(done, "read-only")
    assert "source:" not in done.stderr, "bench has to find out before it measures"
    assert contents(folder) == before


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk(commands: Commands, folder: Path, inputs: Path, verb: str) -> None:
    before = contents(folder)
    done = in_full(commands, folder, of_verbs(inputs, "new", 9)[verb], room=0)
    assert_one_clear_error(done, "free" if verb == "download" else "disk is full")
    assert contents(folder) == before


def lesser_commands(inputs: Path) -> dict[str, tuple[str, Args]]:
    """Return a file that each other verb writes, and how it is run; by the verb's name."""
    picture, scenes = inputs / "pictures" / "0.jpg", inputs / "scenes"
    annotated: Args = ["--images", scenes / "images", "--annotations", scenes / "instances.json"]
    return {
        "scenes": ("drawn/instances.json", ["scenes", "--count", 1, "--size", "320x240", "--out", "drawn"]),
        "scenes --video": (
            "video.mp4",
            ["scenes", "--video", "video.mp4", "--seconds", 0.2, "--size", "320x240"],
        ),
        "mosaics": (
            "mosaics/instances.json",
            ["mosaics", *annotated, "--out", "mosaics", "--size", "640x480"],
        ),
        "predict": ("found/0.jpg", ["predict", ENGINE, picture, "--save", "found"]),
        "run": ("run.json", ["run", ENGINE, "--source", inputs / "pictures", "--json", "run.json"]),
        "eval": ("eval.json", ["eval", ENGINE, *annotated, "--json", "eval.json"]),
        "tune": (
            "runs/tune.json",
            [
                "tune",
                inputs / "old" / "tiny.onnx",
                "--precisions",
                "fp32",
                "--source",
                picture,
                "--groups",
                1,
            ],
        ),
        "report": ("page.html", ["report", "result.json", "--html", "page.html"]),
        "compare": ("table.md", ["compare", "result.json", "result.json", "--markdown", "table.md"]),
        "doctor": ("doctor.json", ["doctor", "--json", "doctor.json"]),
    }


def own(name: str, maker: str) -> dict[str, str]:
    """Return a file of a verb's own, and the list that says so."""
    made = {maker: {"finished": False, "files": {}}}
    listed = json.dumps({"format": "yolotrt.files", "version": 1, "made": made})
    return {name: "earlier", str(Path(name).parent / ".yolotrt-files.json"): listed}


EARLIER = {
    "scenes": own("drawn/instances.json", "yolotrt scenes"),
    "scenes --video": own("video.mp4", "yolotrt scenes --video video.mp4"),
    "mosaics": own("mosaics/instances.json", "yolotrt mosaics"),
    "predict": own("found/0.jpg", "yolotrt predict"),
    "run": {"run.json": '{"counts": {}, "processed": 1}'},
    "eval": {"eval.json": '{"mode": "global", "engines": []}'},
    "tune": {"runs/tune.json": '{"format": "yolotrt.tune", "version": 1, "key": "another"}'},
    "report": {"page.html": HTML_MARK},
    "compare": {"table.md": MARKDOWN_MARK},
    "doctor": {"doctor.json": '{"nvidia_driver": "", "cuda": "", "backends": {}}'},
}
"""What each verb takes for an earlier output of its own, which it may replace."""

LESSER = (
    "scenes",
    "scenes --video",
    "mosaics",
    "predict",
    "run",
    "eval",
    "tune",
    "report",
    "compare",
    "doctor",
)
LARGE = ("scenes", "mosaics", "predict", "report")
"""Verbs that write more than the limit on a file's size."""


@pytest.mark.parametrize(
    ("place", "verb"),
    [(place, verb) for place in ("read-only", "full") for verb in LESSER] + [("limited", v) for v in LARGE],
)
def test_every_other_verb_that_writes(
    commands: Commands, folder: Path, inputs: Path, place: str, verb: str
) -> None:
    name, arguments = lesser_commands(inputs)[verb]
    (folder / name).parent.mkdir(exist_ok=True)
    for path, text in EARLIER[verb].items():
        (folder / path).write_text(text)
    before = contents(folder)
    if place == "read-only":
        done, reason = in_read_only(commands, folder, arguments), "read-only"
    elif place == "full":
        done, reason = in_full(commands, folder, arguments, room=0), "disk is full"
    else:
        done, reason = limited(commands, folder, arguments), "larger than allowed"
    assert_one_clear_error(done, reason)
    if verb in ("run", "eval"):
        assert not done.stdout, f"{verb} has to find out before it measures"
    assert contents(folder) == before


@pytest.mark.parametrize("room", [24_000, 40_000, 60_000, 80_000])
def test_a_disk_that_fills_up_on_the_way_to_an_engine(
    commands: Commands, folder: Path, inputs: Path, room: int
) -> None:
    """Wherever the build stops, the calibration and the engine are the old ones or the new ones."""
    old = read_engine(folder / ENGINE)
    done = in_full(commands, folder, of_verbs(inputs, "new", 9)["build"], room)
    if done.code:
        assert_one_clear_error(done, "disk is full")
    found = read_engine(folder / ENGINE)
    assert (found.sources == old.sources) == bool(done.code)
    assert read_ranges(folder / "calib_data" / "tiny.calib.json")


@pytest.mark.parametrize("verb", VERBS)
def test_a_limit_on_file_sizes(commands: Commands, folder: Path, inputs: Path, verb: str) -> None:
    before = contents(folder)
    done = limited(commands, folder, of_verbs(inputs, "new", 9)[verb])
    assert_one_clear_error(done, "larger than allowed")
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("verb", "blocked"),
    [
        ("calibrate", "calib_data"),
        ("build", "engines"),
        ("download", "coco"),
        ("bench", "out"),
        ("eval", "out"),
    ],
)
def test_a_file_in_the_place_of_the_folder(
    cli: Cli,  # noqa: F811
    tmp_path: Path,
    earlier: Path,
    inputs: Path,
    verb: str,
    blocked: str,
) -> None:
    evaluation: Args = [
        "eval",
        "none.onnx",
        "--images",
        ".",
        "--annotations",
        "none.json",
        "--json",
        "out/r.json",
    ]
    arguments = {**of_verbs(inputs, "new", 3), "eval": evaluation}[verb]
    if verb == "bench":
        arguments = [earlier / ENGINE if a == ENGINE else a for a in arguments[:-1]] + ["out/result.json"]
    if verb == "build":
        arguments = ["build", arguments[1], "--fp32"]
    (tmp_path / blocked).write_text("mine")
    done = cli(*arguments)
    assert done.code == 1
    assert "error: Cannot write" in done.err
    assert "hint:" in done.err
    assert (tmp_path / blocked).read_text() == "mine"


WRITERS = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from yolotrt.artifacts.documents import write_document
from yolotrt.artifacts.files import atomic_target, ensure_writable, exclusive, scratch_folder
from yolotrt.artifacts.files import write_bytes, write_text
from yolotrt.backends.sidecar import read_engine, write_engine
from yolotrt.data.video_writer import new_video
from yolotrt.errors import StorageError
from yolotrt.model.export import export

big = b"x" * 300_000

def clip():
    with new_video(Path("video.mp4"), 30.0, (640, 480)) as append:
        for seed in range(40):
            append(np.random.default_rng(seed).integers(0, 256, (480, 640, 3), np.uint8))

def scratch():
    with scratch_folder(Path("result.json")) as folder:
        (folder / "x").write_bytes(b"")

def atomic():
    with atomic_target(Path("result.json")) as temporary:
        temporary.write_bytes(big)

def lock():
    with exclusive(Path("new"), print):
        pass

def engine():
    old = read_engine(Path(sys.argv[2]))
    write_engine(replace(old, precision="fp16"), old.path.read_bytes() + big)

writers = {
    "bytes": lambda: write_bytes(Path("result.json"), big),
    "text": lambda: write_text(Path("new.txt"), "x" * 300_000),
    "document": lambda: write_document(Path("result.json"), format="f", version=1, body={"x": "x" * 300_000}),
    "atomic": atomic, "clip": clip, "engine": engine,
}
if sys.argv[1] == "read-only":
    writers |= {"lock": lock, "scratch": scratch, "ensure": lambda: ensure_writable(Path("result.json"))}
    writers |= {"export": lambda: export(Path(sys.argv[2]), Path("m.onnx"))}
for name, writer in writers.items():
    try:
        writer()
    except StorageError as exc:
        assert exc.hint, name
        print(name, exc.message)
    else:
        print(name, "was written")
"""


@pytest.mark.parametrize("place", ["read-only", "full"])
def test_every_writer_says_so_and_leaves_what_was_there(folder: Path, tmp_path: Path, place: str) -> None:
    require_mounts()
    before = contents(folder)
    disk = tmp_path / "disk"
    disk.mkdir()
    there = (
        f"become_read_only({str(folder)!r})"
        if place == "read-only"
        else f"become_full({str(disk)!r}, {str(folder)!r}, {str(size_of(folder, 8192))!r})"
    )
    code = f"from tests.faults.within import *\n{there}\n{WRITERS}"
    command = [sys.executable, "-c", code, place, ENGINE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == (10 if place == "read-only" else 6)
    assert all(" Cannot write " in line for line in lines), done.stdout
    assert contents(folder) == before
    assert not [p for p in folder.rglob("*") if ".part" in p.name or p.name.endswith(".next")]
