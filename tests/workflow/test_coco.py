"""COCO pictures to calibrate on, from servers that do not hold all of COCO."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.data.coco.world import few_certificates, make_world, serving  # noqa: F401
from yolotrt.quantization.cache import read_ranges
from yolotrt.workflow.coco import calibration_request


def test_a_small_mirror_is_used_as_far_as_it_goes(
    cli: Cli,  # noqa: F811
    tiny_onnx: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(make_world(20)) as server:
        monkeypatch.setenv("YOLOTRT_COCO_URL", server.url)
        done = cli("build", tiny_onnx, "--int8", "--backend", "onnxruntime", "--images", "coco")
        assert done.code == 0, done.err
        assert f"{server.url} has only 20 images" in done.err
        server.forget()
        again = cli("build", tiny_onnx, "--int8", "--backend", "onnxruntime", "--images", "coco")
        assert (again.code, server.requests) == (0, []), again.err
    assert len(list((tmp_path / "calib_data").rglob("calib/images/*.jpg"))) == 10
    assert len(list((tmp_path / "calib_data").rglob("eval/images/*.jpg"))) == 10
    assert len(read_ranges(next((tmp_path / "calib_data").glob("*.json"))).key.images) == 10


@pytest.mark.parametrize(
    ("available", "images", "calib"), [(5000, 300, 128), (300, 300, 128), (200, 200, 100), (1, 1, 0)]
)
def test_what_is_asked_of_a_source(tmp_path: Path, available: int, images: int, calib: int) -> None:
    request = calibration_request(tmp_path).of(available)
    request.check()
    assert (request.images, request.calib_split) == (images, calib)
