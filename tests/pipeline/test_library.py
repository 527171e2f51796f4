"""The pipeline as an application uses it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import yolotrt
from yolotrt import TiledPipeline
from yolotrt.errors import DeviceError, ImageError, InputError
from yolotrt.geometry.detections import Detections
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.frames import as_frame
from yolotrt.workflow.build import BuildRequest, build_engine

LOW = DecodeSettings(conf=0.5, max_det=20)


@pytest.fixture(scope="module")
def engine_file(tiny_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    request = BuildRequest(tiny_onnx, backend="onnxruntime", engines=folder, calib_data=folder)
    return build_engine(request, say=lambda _: None).file.path


@pytest.fixture
def pipeline(engine_file: Path) -> Iterator[TiledPipeline]:
    with TiledPipeline.open(engine_file, groups=2, dispatch="threads", cpu_threads=2, decode=LOW) as opened:
        yield opened


def _frame(seed: int, wh: tuple[int, int] = (160, 128)) -> Any:
    return np.random.default_rng(seed).integers(0, 255, (wh[1], wh[0], 3), dtype=np.uint8)


def _same(one: Detections, other: Detections) -> bool:
    assert one.masks is not None
    assert other.masks is not None
    return (
        np.array_equal(one.boxes, other.boxes)
        and np.array_equal(one.scores, other.scores)
        and np.array_equal(one.classes, other.classes)
        and all(np.array_equal(a.bits, b.bits) for a, b in zip(one.masks, other.masks, strict=True))
    )


def test_eight_threads_sharing_a_pipeline_get_what_one_thread_gets(pipeline: TiledPipeline) -> None:
    frames = [_frame(i, (160 + 32 * (i % 2), 128)) for i in range(8)]
    expected = [pipeline(frame).detections for frame in frames]
    assert any(len(found) for found in expected)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: pipeline(frames[i % 8]).detections, range(40)))
    assert all(_same(one, expected[i % 8]) for i, one in enumerate(found))


def test_the_example_in_the_package_runs_as_printed(engine_file: Path, tmp_path: Path) -> None:
    documentation = yolotrt.__doc__ or ""
    code = textwrap.dedent(documentation.split("::\n", 1)[1])
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    cv2.imwrite(str(tmp_path / "street.jpg"), _frame(1, (256, 192)))
    code = code.replace("engine.onnx", str(engine_file))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"((cat|dog) 0\.\d\d at \d+,\d+\n)*\d+\.\d ms\n", done.stdout)


def test_the_example_in_the_readme_runs_as_printed(engine_file: Path, tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    (named,) = re.findall(r'"(engines/.*?)"', code)
    cv2.imwrite(str(tmp_path / "street.jpg"), _frame(1, (256, 192)))
    code = code.replace(named, str(engine_file))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"((cat|dog) 0\.\d\d \[.*\]\n)*\d+\.\d ms\n", done.stdout)


def test_opening_and_closing_again_and_again_keeps_nothing(engine_file: Path) -> None:
    """Neither threads, nor open files, nor memory that grows with every pipeline."""
    import gc

    from yolotrt.bench.sustain import resident_mib

    def use() -> None:
        with TiledPipeline.open(engine_file, mode="tiled+global", groups=4, dispatch="threads") as pipeline:
            pipeline(_frame(0))
        gc.collect()

    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        use()
    before, memory = held(), resident_mib()
    for _ in range(40):
        use()
    assert held() == before
    assert memory is not None
    assert (resident_mib() or 0) - memory < 12, "more than 0.3 MiB stay of each pipeline"


def test_importing_the_package_alone_loads_nothing_heavy() -> None:
    code = "import sys, yolotrt; sys.exit('numpy' in sys.modules or 'onnxruntime' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    with pytest.raises(AttributeError):
        yolotrt.nonsense  # noqa: B018


def test_closing_ends_threads_and_unloads_what_was_opened(engine_file: Path) -> None:
    before = threading.active_count()
    pipeline = TiledPipeline.open(engine_file, groups=3, dispatch="threads", cpu_threads=3)
    pipeline(_frame(0))
    assert threading.active_count() > before
    pipeline.close()
    pipeline.close()
    assert threading.active_count() == before


def test_opening_what_is_not_there_says_so(tmp_path: Path, engine_file: Path) -> None:
    with pytest.raises(InputError):
        TiledPipeline.open(tmp_path / "none.onnx")
    with pytest.raises(InputError):
        TiledPipeline.open(engine_file, global_engine=tmp_path / "none.onnx")


def test_a_second_engine_can_run_the_global_pass(engine_file: Path) -> None:
    frame = _frame(3)
    with TiledPipeline.open(engine_file, global_engine=engine_file, mode="tiled+global", decode=LOW) as two:
        found = two(frame)
    with TiledPipeline.open(engine_file, mode="tiled+global", decode=LOW) as one:
        assert _same(found.detections, one(frame).detections)
    assert found.trace.seconds("global") is not None
    assert two.names == ("cat", "dog")


class _Dlpack:
    """An array of another library; on the device that it claims."""

    def __init__(self, array: Any, device: int = 1) -> None:
        self.array, self.device = array, device

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    def __dlpack__(self, **options: object) -> object:
        return self.array.__dlpack__()


def test_arrays_of_other_libraries_are_frames(pipeline: TiledPipeline) -> None:
    frame = _frame(5)
    assert np.shares_memory(as_frame(_Dlpack(frame)), frame)
    assert _same(pipeline(_Dlpack(frame)).detections, pipeline(frame).detections)
    with pytest.raises(DeviceError, match="device"):
        as_frame(_Dlpack(frame, device=10))


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        "street.jpg",
        None,
    ],
)
def test_what_is_no_frame_is_refused_with_a_hint(frame: object) -> None:
    with pytest.raises(ImageError) as caught:
        as_frame(frame)
    assert caught.value.hint


def test_a_frame_on_the_gpu_needs_a_driver_and_contiguous_memory() -> None:
    class OnGpu:
        def __init__(self, strides: tuple[int, int, int] | None) -> None:
            about = {"shape": (4, 4, 3), "typestr": "|u1", "data": (1 << 40, False), "version": 3}
            self.__cuda_array_interface__ = {**about, "strides": strides}

    with pytest.raises(ImageError, match="contiguous"):
        as_frame(OnGpu((48, 12, 3)))
    with pytest.raises(DeviceError):
        as_frame(OnGpu(None))
