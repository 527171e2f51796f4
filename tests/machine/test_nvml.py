"""The GPU that is described is the one that runs, however NVIDIA's management library counts them."""

# ruff: noqa: N802 - the library's names

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.cuda.emulated_engine import EmulatedEngine
from tests.cuda.emulator import HostDriver, emulated
from yolotrt.bench.apart import Counted, SayingTally
from yolotrt.bench.result import to_json
from yolotrt.bench.run import RunRequest, run_bench
from yolotrt.bench.sweep import EnginePair, SweepSettings
from yolotrt.data.queued import FeedCounts
from yolotrt.machine import energy as energy_module
from yolotrt.machine import nvml as gpu_module
from yolotrt.machine.energy import energy_meter
from yolotrt.machine.nvml import gpu_state, handle_of, other_gpu_processes
from yolotrt.report.result_columns import result_columns
from yolotrt.timing.clock import now


@dataclass(frozen=True)
class Card:
    """A handle."""

    name: str
    pci_bus_id: str


class Nvml:
    """Two cards in an order that is not CUDA's; it has only names that the real library has.

    The real one takes a PCI domain of four or eight digits, in upper or lower case.
    """

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    looks = 0
    opened = 0
    cards = (Card("Display card", "00000000:81:00.0"), Card("Compute card", "00000000:02:00.0"))

    class NVMLError(Exception):
        pass

    def nvmlInit(self) -> None:
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        if index >= len(self.cards):
            raise self.NVMLError("not found")
        return self.cards[index]

    def nvmlDeviceGetHandleByPciBusId(self, pci_bus_id: str) -> Card:
        domain, rest = pci_bus_id.lower().split(":", 1)
        for card in self.cards:
            if card.pci_bus_id == f"{domain:0>8}:{rest}":
                return card
        raise self.NVMLError("not found")

    def nvmlDeviceGetName(self, card: Card) -> str:
        return card.name

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.1"

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:
        return 0x4 if card.name == "Compute card" else 0

    def nvmlDeviceGetPowerManagementLimit(self, _card: Card) -> int:
        return 180_000

    def nvmlDeviceGetMemoryInfo(self, _card: Card) -> Any:
        return SimpleNamespace(total=16 << 30)

    def nvmlDeviceGetClockInfo(self, _card: Card, _clock: int) -> int:
        return 2400

    def nvmlDeviceGetTemperature(self, _card: Card, _sensor: int) -> int:
        raise self.NVMLError("not supported")

    def nvmlDeviceGetTotalEnergyConsumption(self, card: Card) -> int:
        if not self.opened:
            raise self.NVMLError("uninitialized")
        if card.name != "Compute card":
            raise self.NVMLError("not supported")
        self.looks += 1
        return 5_000 * self.looks

    def nvmlDeviceGetComputeRunningProcesses(self, card: Card) -> list[Any]:
        return [SimpleNamespace(pid=7)] if card.name == "Display card" else []

    def nvmlSystemGetProcessName(self, _pid: int) -> str:
        return "desktop"


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    library = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)  # type: ignore[arg-type]
    return library


def test_a_card_is_found_by_where_it_sits(nvml: Nvml) -> None:
    assert handle_of(nvml, "0000:02:00.0").name == "Compute card"
    assert handle_of(nvml, "0000:81:00.0").name == "Display card"
    assert handle_of(nvml, None).name == "Display card"
    with pytest.raises(nvml.NVMLError):
        handle_of(nvml, "0000:03:00.0")


def test_state_and_processes_are_those_of_that_card(nvml: Nvml) -> None:
    state = gpu_state("0000:02:00.0")
    assert state is not None
    assert (state.name, state.throttled, state.temperature_c) == ("Compute card", ("power limit",), None)
    assert other_gpu_processes("0000:02:00.0") == []
    assert other_gpu_processes("0000:81:00.0") == ["desktop (7)"]
    assert gpu_state("0000:03:00.0") is None, "no card is better than another one"


def test_a_run_describes_the_gpu_of_its_engine(nvml: Nvml, tiny_onnx: Path) -> None:
    driver = HostDriver(1)  # sits at 0000:02:00.0
    engine = EmulatedEngine(driver, tiny_onnx)
    engine.device = emulated(driver)
    frame = np.random.default_rng(3).integers(0, 256, (100, 151, 3), np.uint8)
    settings = SweepSettings(
        modes=("global",), dispatch=("streams",), groups=(1,), iterations=2, warmup=0, energy_s=0.05
    )
    pair = EnginePair(engine)  # type: ignore[arg-type]
    result = run_bench([pair], [frame], RunRequest(settings, "noise"), say=lambda _: None)
    assert result.environment.gpu.name == "Compute card"
    assert result.during.gpu.throttled == ("power limit",)
    assert result.during.gpu_processes == ()
    (entry,) = result.cases
    assert entry.energy.joules >= 5
    assert entry.energy.frames >= 1
    assert 0.05 <= entry.energy.seconds < 60
    assert json.loads(json.dumps(to_json(result)))["cases"][0]["energy"]["joules"] == entry.energy.joules
    assert {"J/frame", "W"} <= {column.name for column in result_columns(result.cases)}


def test_a_card_that_does_not_tell_its_energy_has_no_meter(nvml: Nvml) -> None:
    for places in (["0000:81:00.0"], ["0000:03:00.0"], []):
        with energy_meter(places) as meter:
            assert meter is None
    with energy_meter(["0000:02:00.0"] * 2) as meter:
        assert meter is not None
        before, after = meter.reading(), meter.reading()
        assert before.energy_to(after, 2).per_frame == 2.5
        assert after.energy_to(before, 2).joules == 0, "a counter that began anew"


def test_a_process_of_several_leaves_the_counter_to_the_one_that_started_it(nvml: Nvml) -> None:
    said: list[Counted] = []
    with energy_meter(["0000:02:00.0"]) as meter:
        looks = nvml.looks
        tally = SayingTally(said.append, now, lambda: None, None, meter, [])
    assert tally.report(FeedCounts()).energy is None, "the library is shut by then"
    assert (len(said), nvml.looks) == (1, looks)


def test_the_library_has_every_name_that_is_used() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs the cuda extra")
    text = "".join(Path(module.__file__).read_text() for module in (gpu_module, energy_module))
    used = set(re.findall(r"\b_?nvml\.((?i:nvml)\w+)", text))
    assert "nvmlDeviceGetHandleByPciBusId" in used
    assert [name for name in used if not hasattr(pynvml, name)] == []
    assert [name for name in dir(Nvml) if name.lower().startswith("nvml") and name not in used] == []
