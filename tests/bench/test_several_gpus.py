"""The benchmark and the simulation of several GPUs, on emulated ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import batch_gpus, gpu_scaling
from benchmarks.gpu_cameras import rate
from benchmarks.several_gpus import TARGETS, frames, table
from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from yolotrt.artifacts.documents import as_values
from yolotrt.pipeline.device.share import Gpu
from yolotrt.pipeline.frames import FrameResult
from yolotrt.timing.trace import FrameTrace


def test_every_way_of_merging_is_measured_and_finds_the_same(
    tiny_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = HostDriver()
    drivers = [first, HostDriver(1, beside=first)]
    gpus = [Gpu(emulated(driver), EmulatedEngine(driver, tiny_onnx)) for driver in drivers]
    frame = np.random.default_rng(3).integers(0, 256, (100, 90, 3), np.uint8)
    found = frames(gpus, frame, 1, modes=("tiled",), groups=(1,))
    assert len(found["cases"]) == 8 + 2  # two of them again with their stages
    assert {row["target"] for row in found["ratios"]} == {TARGETS["tiled"]}
    ways = {case["way"]: set(case["p50_s"]) for case in found["cases"]}
    assert [way for way, stages in ways.items() if "merge" in stages] == [
        f"merged on the host, {source}" for source in ("pageable", "frame_buffer")
    ]
    assert all(gpu.device.waits_across and "reach" not in vars(gpu.device) for gpu in gpus)
    assert table({"frames": found, "cameras": []}).count("\n") == 1 + 8
    seen: list[int] = []
    streams = [_Counting(seen, lane) for lane in range(2)]
    assert rate(streams, [frame] * 2, 3) > 0  # type: ignore[arg-type]
    assert (seen.count(0), seen.count(1)) == (3, 3)


class _Counting:
    pci_bus_ids = ()
    most_together = 1

    def __init__(self, seen: list[int], lane: int) -> None:
        self._seen, self._lane = seen, lane
        self.depth = 1

    def submit(self, frame: object, *, stream: int = 0) -> SimpleNamespace:
        return SimpleNamespace(result=lambda: self(frame, stream=stream))

    def __call__(self, frame: object, *, stream: int = 0) -> FrameResult:
        self._seen.append(self._lane)
        return SimpleNamespace(detections=(), looked=None, trace=FrameTrace([]))  # type: ignore[return-value]


def test_what_is_written_down_is_what_the_simulation_says() -> None:
    measured = json.loads((gpu_scaling.RESULTS / "fused.json").read_text())
    found = gpu_scaling.report(measured)
    kept = json.loads((gpu_scaling.RESULTS / "gpu-scaling.json").read_text())
    assert dict(_flat(json.loads(json.dumps(as_values(found))))) == pytest.approx(dict(_flat(kept)))
    assert gpu_scaling.table(found) in (gpu_scaling.RESULTS / "two-gpus.md").read_text()
    one = found["measured_on_one"]
    checks = {
        "tiles only": "tiles, pageable",
        "frame": "whole frame, pageable",
        "frame, page-locked source": "whole frame, frame_buffer",
    }
    for name, case in checks.items():
        assert found["frames"][case][0]["end"] == pytest.approx(one[name], rel=0.08)
    ends = [row["end"] for row in found["frames"]["tiles, frame_buffer"]]
    assert ends[0] > ends[1] > ends[2] < ends[3], "the host takes longer to start 8 GPUs than they compute"


def test_what_was_measured_on_two_gpus_is_what_is_written_down() -> None:
    kept = json.loads((gpu_scaling.RESULTS / "two-gpus.json").read_text())
    written = (gpu_scaling.RESULTS / "two-gpus.md").read_text()
    assert all(table(kept[name]) in written for name in kept if name != "batch")
    assert batch_gpus.table(kept["batch"]) in written


def _flat(tree: object, name: str = "") -> list[tuple[str, object]]:
    """Return the leaves of a document with their places."""
    if isinstance(tree, (dict, list)):
        pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [leaf for key, value in pairs for leaf in _flat(value, f"{name}/{key}")]
    return [(name, tree)]
