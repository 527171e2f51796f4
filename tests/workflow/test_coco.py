"""COCO pictures to calibrate on, from servers that do not hold all of COCO."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.qdq_by_hand import quantize_by_hand
from tests.cli.conftest import Cli, cli  # noqa: F401
from tests.data.coco.world import few_certificates, make_world, serving  # noqa: F401
from yolotrt.model.onnxfile import load_onnx
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


def test_nothing_is_fetched_for_what_needs_no_images_of_coco(
    cli: Cli,  # noqa: F811
    tiny_onnx: Path,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A network that is quantised already, and a folder that is called coco."""
    quantised = quantize_by_hand(load_onnx(tiny_onnx), ("stem.conv", "down2.conv"))
    Path("q.onnx").write_bytes(quantised.SerializeToString())
    pictures.rename("coco")
    with serving(make_world(1)) as server:
        monkeypatch.setenv("YOLOTRT_COCO_URL", server.url)
        for network, options in (("q.onnx", ("--yes",)), ("q.onnx", ("--images", "coco")),
                                 (tiny_onnx, ("--images", "coco/"))):  # fmt: skip
            done = cli("build", network, "--int8", "--backend", "onnxruntime", *options)
            assert (done.code, server.requests) == (0, []), done.err
    assert "(made, 4 images)" in done.err


@pytest.mark.parametrize(
    ("available", "images", "calib"), [(5000, 300, 128), (300, 300, 128), (200, 200, 100), (1, 1, 0)]
)
def test_what_is_asked_of_a_source(tmp_path: Path, available: int, images: int, calib: int) -> None:
    request = calibration_request(tmp_path).of(available)
    request.check()
    assert (request.images, request.calib_split) == (images, calib)
