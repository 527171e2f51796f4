"""What layers have to do at least, and how long that takes on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.test_planner import planned
from yolotrt.backends.fused.cost import cost_of
from yolotrt.backends.fused.file import FusedFile, Program, Start, write
from yolotrt.backends.fused.roofline import GPUS, Figures, figures_of, roofline
from yolotrt.backends.fused.steps import Attention, Conv, Grow, Stem
from yolotrt.backends.sidecar import write_engine
from yolotrt.errors import UsageError
from yolotrt.workflow.describe import describe_roofline


def engine(*work: tuple[int, int]) -> FusedFile:
    starts = tuple(Start(f"layer {i}", 0, (), 1, 1, 1, 0, (), *w) for i, w in enumerate(work))
    return FusedFile((64, 64), (1, 1), (1, 1, 1), 0, (Program("sm_90", 1, 8, starts),), (), b"")


def test_costs_are_those_of_the_layers() -> None:
    network = planned(yolo(Shape(size=64, width=8)))
    costs = [(s, cost_of(network, s)) for s in network.steps]
    (stem,) = (c for s, c in costs if isinstance(s, Stem))
    assert stem.nbytes == 2 * (3 * 64 * 64 + 8 * 32 * 32)
    assert stem.operations == 2 * 32 * 32 * 27 * 8
    first = next(c for s, c in costs if isinstance(s, Conv))  # 3 x 3, stride 2, 1 x 1 behind it
    assert first.operations % (2 * 16 * 16) == 0
    (grow,) = (s for s in network.steps if isinstance(s, Grow))
    pixels = grow.width * grow.height
    assert cost_of(network, grow).operations == 2 * pixels * (16 * 8 * 8 + 4 * 8 * 8)
    assert all(c.nbytes > 0 for _, c in costs)
    assert all(c.operations > 0 for s, c in costs if isinstance(s, (Conv, Attention)))


def test_the_floor_is_the_larger_of_both() -> None:
    gpu = Figures(1e9, 1e12, "a test")
    rows = roofline(engine((1000, 10), (10, 10**9)), 4, gpu)
    assert [r.bound for r in rows] == ["memory", "arithmetic"]
    assert [r.floor for r in rows] == pytest.approx([4e-6, 4e-3])
    assert [r.nbytes for r in rows] == [4000, 40]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("RTX 5060 Ti", "RTX 5060 Ti"),
        ("NVIDIA GeForce RTX 4090", "RTX 4090"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA L40S", "L40S"),
        ("l4", "L4"),
    ],
)
def test_gpus_are_found_by_their_names(text: str, name: str) -> None:
    assert figures_of(text) == (name, GPUS[name])
    assert all(figures.source for figures in GPUS.values())


@pytest.mark.parametrize("text", ["RTX 9999", ""])
def test_an_unknown_gpu_is_refused_with_those_that_are_known(text: str) -> None:
    with pytest.raises(UsageError, match="no figures") as caught:
        figures_of(text)
    assert "RTX 5060 Ti" in str(caught.value.hint)


def test_an_engine_tells_its_floor_on_a_gpu_that_is_not_here(tmp_path: Path) -> None:
    from tests.backends.fused.test_runtime import written

    file = write_engine(written(tmp_path, engine((1000, 10))), write(engine((1000, 10))))
    found = describe_roofline(file.path, "RTX 5060 Ti", 2)
    assert found["floor_s"] == pytest.approx(2000 / 448e9)
    assert found["measured_s"] is None
    assert describe_roofline(file.path, "H200", None)["batch"] == 8
    with pytest.raises(UsageError, match="no GPU here"):
        describe_roofline(file.path, None, None)


def test_only_fused_engines_tell_it(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.backends.fused.test_runtime import written

    other = replace(written(tmp_path, engine((1, 1))), backend="onnxruntime")
    file = write_engine(other, b"anything")
    with pytest.raises(UsageError, match="engine of onnxruntime"):
        describe_roofline(file.path, "H200", None)
