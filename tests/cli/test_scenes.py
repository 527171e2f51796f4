from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from yolotrt.cli.scenes import scenes
from yolotrt.errors import UsageError

app = typer.Typer()
app.command()(scenes)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_scenes_and_video_are_written_and_named(tmp_path: Path) -> None:
    out, clip = tmp_path / "scenes", tmp_path / "video.avi"
    video = ("--video", str(clip), "--fps", "5", "--seconds", "1")
    said = run("--out", str(out), "--count", "2", "--size", "320x240", *video)
    assert f"{out / 'images'}: 2 scenes" in said
    assert f"{clip}: 1 s at 5 frames/s" in said
    assert len(list((out / "images").iterdir())) == 2
    assert clip.stat().st_size > 1000


def test_json_goes_to_stdout_alone(tmp_path: Path) -> None:
    document = json.loads(run("--out", str(tmp_path), "--count", "1", "--size", "128x96", "--json", "-"))
    assert document["size_wh"] == [128, 96]
    assert Path(document["annotations"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to write"),
        (("--out", "x", "--size", "4k"), "'4k' is not a width and height"),
        (("--out", "x", "--footage", "rain"), "--footage says which video"),
    ],
)
def test_wrong_options_are_named(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run(*arguments)
