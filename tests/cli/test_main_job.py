"""The main job through the command line: calibrate, build, bench, inspect; and everything typed wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from yolotrt.cli.app import VERBS


@pytest.fixture
def onnx(tmp_path: Path, tiny_onnx: Path) -> Path:
    return Path(shutil.copy(tiny_onnx, tmp_path / "tiny-seg.onnx"))


def test_the_verbs_in_a_row(cli: Cli, onnx: Path, pictures: Path, tmp_path: Path) -> None:
    done = cli("calibrate", onnx, "--images", pictures)
    assert (done.code, "made from 4 images" in done.out) == (0, True), done.err
    assert "cached" in cli("calibrate", onnx, "--images", pictures).out

    for precision in ("--fp32", "--int8"):
        done = cli("build", onnx, precision, "--images", pictures)
        assert done.code == 0, done.err
        assert Path(done.out.strip()).is_file()
    assert "up to date" in cli("build", onnx, "--int8").err  # from the cache alone, without images

    done = cli(
        "bench", *Path("engines").glob("*.onnx"), "--source", pictures / "0.png", "--groups", "1,2",
        "--iterations", 2, "--warmup", 0, "--json", "r.json", "--threads", 1,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Latency per frame" in done.out
    assert "Stages" in done.out
    result = json.loads(Path("r.json").read_text())
    assert len(result["cases"]) == 2 * (1 + 2 * (2 * 2))
    for entry in result["cases"]:
        samples = entry["samples"]
        assert samples["stream_sync"] == [None, None]
        assert all(v > 0 for v in samples["end_to_end"])
        ran = {"global": {"global"}, "tiled": {"tiles"}, "tiled+global": {"tiles", "global"}}[
            entry["case"]["mode"]
        ]
        for stage in ("tiles", "global"):
            assert all(v > 0 for v in samples[stage]) if stage in ran else samples[stage] == [None, None]

    for file in (onnx, *Path("engines").iterdir(), Path("calib_data/tiny-seg.calib.json"), Path("r.json")):
        if not file.name.startswith("."):
            assert cli("inspect", file).code == 0, file


def test_fp16_says_that_a_cpu_gains_nothing(cli: Cli, onnx: Path) -> None:
    done = cli("build", onnx, "--fp16")
    assert done.code == 0, done.err
    assert "not faster" in done.err


def test_json_to_stdout_is_all_there_is_on_stdout(cli: Cli, onnx: Path) -> None:
    cli("build", onnx)
    done = cli("bench", "--source", "x.png", "--json", "-")
    assert done.out == ""
    assert json.loads(cli("inspect", onnx, "--json", "-").out)["kind"] == "ONNX model"
    assert json.loads(cli("doctor", "--json", "-").out)["backends"]["onnxruntime"]["usable"]
    assert json.loads(cli("build", onnx, "--json", "-").out)["cached"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "no.onnx"], "does not exist"),
        (["build", "."], "is a directory"),
        (["build", "truncated.onnx"], "not a valid ONNX"),
        (["build", "notes.txt"], "neither weights"),
        (["build"], "no yolo26n-seg.pt"),
        (["build", "tiny-seg.onnx", "--int8"], "needs images"),
        (["build", "tiny-seg.onnx", "--int8", "--images", "empty"], "holds no images"),
        (["build", "tiny-seg.onnx", "--int8", "--images", "broken"], "can be read"),
        (["bench"], "no engine"),
        (["bench", "tiny-seg.onnx"], "no sidecar"),
        (["bench", "no.onnx"], "does not exist"),
        (["calibrate", "tiny-seg.onnx", "--images", "no"], "does not exist"),
        (["inspect", "no"], "does not exist"),
        (["inspect", "."], "is a directory"),
        (["inspect", "notes.txt"], "no file that yolotrt knows"),
        (["inspect", "foreign.json"], "none of yolotrt's documents"),
        (["export", "no.pt"], "does not exist"),
    ],
)
def test_bad_input_is_one_line_a_hint_and_code_1(
    cli: Cli, onnx: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "truncated.onnx").write_bytes(onnx.read_bytes()[:3000])
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "foreign.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no jpeg")
    done = cli(*arguments)
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert done.code == 1, done.err
    assert len(errors) == 1
    assert message in errors[0]
    assert "hint: " in done.err
    assert "Traceback" not in done.err
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bench", "--groups", "0"], "positive whole numbers"),
        (["bench", "--groups", "a"], "positive whole numbers"),
        (["bench", "--mode", "diagonal"], "unknown"),
        (["bench", "--source", "pictures/0.png", "--groups", "999"], "groups are too many"),
        (["bench", "--source", "pictures/0.png", "--tile", "640"], "does not fit"),
        (["bench", "--source", "pictures/0.png", "--overlap", "1.5"], "overlap"),
        (["build", "tiny-seg.onnx", "--int8", "--fp16"], "exclude each other"),
        (["build", "tiny-seg.onnx", "--backend", "magic"], "no backend"),
        (["build", "tiny-seg.onnx", "--int8", "--method", "magic"], "unknown"),
        (["bench", "--no-such-option"], "No such option"),
        (["no-such-verb"], "No such command"),
    ],
)
def test_wrong_usage_is_code_2(
    cli: Cli, onnx: Path, pictures: Path, arguments: list[str], message: str
) -> None:
    cli("build", onnx)
    done = cli(*arguments)
    assert done.code == 2, done.err
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_changed_engine_is_refused(cli: Cli, onnx: Path, pictures: Path) -> None:
    engine = Path(cli("build", onnx).out.strip())
    engine.write_bytes(engine.read_bytes() + b"x")
    done = cli("bench", "--source", pictures / "0.png")
    assert done.code == 1
    assert "does not match the hash" in done.err


def test_an_unreadable_picture_is_named(cli: Cli, onnx: Path, tmp_path: Path) -> None:
    cli("build", onnx)
    (tmp_path / "bad.png").write_bytes(b"\x89PNG broken")
    done = cli("bench", "--source", "bad.png")
    assert done.code == 1
    assert "bad.png" in done.err


@pytest.mark.parametrize("verb", [name for name, _ in VERBS])
def test_every_help_shows_examples_line_by_line(cli: Cli, verb: str) -> None:
    done = cli(verb, "--help")
    assert done.code == 0
    examples = done.out.partition("Examples:")[2].partition("Options:")[0]
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    assert lines
    assert lines[0].startswith(f"yolotrt {verb}")
    assert "\\b" not in done.out


def test_the_list_of_verbs_fits_a_narrow_terminal(cli: Cli) -> None:
    done = cli("--help")
    assert "Start with:" in done.out
    for name, summary in VERBS:
        assert f"{name} " in done.out
        assert summary in done.out
