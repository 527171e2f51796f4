from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tests.data.coco.world import ARCHIVE, few_certificates, make_world, serving, unpacked_to  # noqa: F401
from yolotrt.cli.download import download
from yolotrt.errors import ArtifactError, DownloadError, UsageError

WORLD = make_world(30)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_to(tmp_path_factory.mktemp("mirror"), WORLD)


def run(*arguments: object) -> Result:
    app = typer.Typer(rich_markup_mode=None)
    app.command()(download)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_a_download_and_its_check(tmp_path: Path, mirror: Path) -> None:
    out = tmp_path / "coco"
    first = run("--images", 10, "--out", out, "--base-url", mirror)
    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[0] == f"{out}/images: 10 images, {out}/instances.json"
    assert "(10 fetched, 0 were there; nothing received), verified; list: " in first.stdout
    again = run("--images", 10, "--out", out, "--base-url", mirror)
    assert "(0 fetched, 10 were there" in again.stdout
    checked = run("--verify", "--out", out)
    assert checked.exit_code == 0
    assert checked.stdout.startswith(f"{out}: 11 files, ")


def test_results_as_json(tmp_path: Path, mirror: Path) -> None:
    out, report = tmp_path / "coco", tmp_path / "report.json"
    options = ("--images", 9, "--calib-split", 3, "--out", out, "--base-url", mirror)
    assert run(*options, "--json", report).exit_code == 0
    document = json.loads(report.read_text())
    assert [(p["split"], p["count"]) for p in document["parts"]] == [("calib", 3), ("eval", 6)]
    assert (document["fetched"], document["source"]) == (9, str(mirror))
    assert json.loads(run(*options, "--json", "-").stdout)["kept"] == 9
    verified = run("--verify", "--out", out, "--json", "-")
    assert json.loads(verified.stdout)["good"] is True


def test_damage_is_listed_and_exits_with_an_error(tmp_path: Path, mirror: Path) -> None:
    out = tmp_path / "coco"
    run("--images", 5, "--out", out, "--base-url", mirror, "--no-annotations")
    images = sorted((out / "images").iterdir())
    images[0].write_bytes(b"x" * images[0].stat().st_size)
    images[1].unlink()
    (out / "images/other.jpg").write_bytes(b"")
    result = run("--verify", "--out", out, "--json", tmp_path / "v.json")
    assert isinstance(result.exception, ArtifactError)
    assert result.exception.message == f"2 of 5 files in {out} are not what they should be."
    assert f"images/{images[0].name}: its content has changed (SHA-256)" in result.stderr
    assert f"images/{images[1].name}: it is missing" in result.stderr
    assert "warning: 1 files are not part of the subset" in result.stderr
    assert len(json.loads((tmp_path / "v.json").read_text())["problems"]) == 2
    repaired = run("--images", 5, "--out", out, "--base-url", mirror, "--no-annotations")
    assert "1 damaged files were fetched again" in repaired.stderr


def test_classes_seed_and_the_url_variable(
    tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLOTRT_COCO_URL", str(mirror))
    result = run("--images", 3, "--classes", "car, cat", "--seed", 4, "--out", tmp_path / "coco")
    assert result.exit_code == 0, result.output
    request = json.loads((tmp_path / "coco/manifest.json").read_text())["request"]
    assert (request["classes"], request["seed"]) == (["car", "cat"], 4)


def test_weaker_checks_are_said_so(tmp_path: Path) -> None:
    plain = {path: data for path, data in WORLD.items() if path.startswith(("/val2017", ARCHIVE))}
    with serving(plain) as server:
        result = run("--images", 4, "--out", tmp_path / "coco", "--base-url", server.url)
    assert "4 images came from a source without checksums" in result.stderr
    assert "MB received)" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("imagenet",), UsageError, "no dataset 'imagenet'"),
        (("--classes", "caar"), UsageError, "no class 'caar'"),
        (("--images", "31"), UsageError, "There are 30 images"),
        (("--images", "5", "--calib-split", "5"), UsageError, "leaves nothing"),
    ],
)
def test_mistakes(tmp_path: Path, mirror: Path, arguments, error, message: str) -> None:
    result = run(*arguments, "--out", tmp_path / "coco", "--base-url", mirror)
    assert isinstance(result.exception, error)
    assert message in result.exception.message
    assert not list(tmp_path.rglob("*.jpg"))


def test_numbers_out_of_range_are_usage_errors() -> None:
    assert run("--images", 0).exit_code == 2
    assert run("--calib-split", -1).exit_code == 2


def test_an_offline_machine_is_told_the_ways_out(tmp_path: Path) -> None:
    result = run("--images", 3, "--out", tmp_path / "coco", "--base-url", "http://coco.invalid")
    assert isinstance(result.exception, DownloadError)
    assert "cannot be reached" in result.exception.message
    assert f"yolotrt download --images 3 --seed 0 --out {tmp_path}/coco" in (result.exception.hint or "")


def test_a_dead_proxy_is_said_in_error_and_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", f"http://{address}")
        result = run("--images", 3, "--out", tmp_path / "coco", "--base-url", "http://coco.invalid")
    assert isinstance(result.exception, DownloadError)
    assert f"the proxy {address} of HTTP_PROXY refused" in result.exception.message
    assert f"the proxy {address} of HTTP_PROXY: correct or unset it" in (result.exception.hint or "")
