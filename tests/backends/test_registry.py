"""Which backend ``auto`` takes, and why."""

from __future__ import annotations

import pytest

from yolotrt.backends import registry
from yolotrt.backends.base import Availability, Precision


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, Availability]:
    found = {
        "tensorrt": Availability(False, "not installed", builds=False),
        "tensorrt-rtx": Availability(False, "no GPU", builds=True),
        "fused": Availability(True, "Triton 3, 1 GPU", builds=True),
        "onnxruntime": Availability(True, "1.30 on cpu", builds=True),
    }
    real = registry.backend

    def backend(name: str) -> object:
        made = real(name)
        monkeypatch.setattr(type(made), "availability", lambda self: found[self.name])
        return made

    monkeypatch.setattr(registry, "backend", backend)
    return found


@pytest.mark.parametrize(
    ("precision", "name"),
    [("fp16", "fused"), ("fp32", "onnxruntime"), ("int8", "fused"), (None, "onnxruntime")],
)
def test_auto_builds_what_is_measured_fastest_and_says_so(
    states: dict[str, Availability], precision: Precision | None, name: str
) -> None:
    found, reason = registry.choose("auto", "build", precision)
    assert found.name == name
    assert ("H200" in reason) == (name == "fused")


def test_auto_builds_nothing_that_it_cannot_build(states: dict[str, Availability]) -> None:
    states["fused"] = Availability(True, "Triton is not installed", builds=False)
    assert registry.choose("auto", "build", "fp16")[0].name == "onnxruntime"
    states["fused"] = Availability(False, "no GPU", builds=True)
    assert registry.choose("auto", "build", "fp16")[0].name == "onnxruntime"


def test_a_backend_that_is_asked_for_builds_for_other_machines(states: dict[str, Availability]) -> None:
    states["fused"] = Availability(False, "no GPU", builds=True)
    assert registry.choose("fused", "build", "fp16")[0].name == "fused"
