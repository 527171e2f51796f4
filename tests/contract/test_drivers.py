"""The contract of every binding of CUDA, and of the emulator that stands in for a GPU elsewhere."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import numpy as np
import pytest

from tests.cuda.emulator import HostDriver, emulated
from tests.cuda.gpu_work import cut, decoded, random_heads
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.machine import BINDINGS, VARIABLE, Machine, chosen_binding
from yolotrt.errors import DeviceError, EnvironmentFault, MissingDependency, UsageError
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.geometry.tiles import tile_grid
from yolotrt.pipeline.decode import DecodeSettings

DRIVERS = ["emulator", "emulator without graphs", *(pytest.param(b, marks=pytest.mark.gpu) for b in BINDINGS)]


@pytest.fixture(params=DRIVERS)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A GPU through each binding, as :class:`Machine` opens it; nothing may be left on it."""
    if request.param.startswith("emulator"):
        found = emulated(HostDriver(captures=request.param == "emulator"))
    else:
        monkeypatch.setenv(VARIABLE, request.param)
        try:
            found = Machine().gpu(0)
        except EnvironmentFault as exc:
            if os.environ.get("YOLOTRT_REQUIRE_GPU") == "1" and not isinstance(exc, MissingDependency):
                raise
            pytest.skip(exc.message)
    yield found
    assert found.live == {}
    found.close()


def test_it_describes_the_gpu(device: Device) -> None:
    info = device.info
    assert info.arch.startswith("sm_")
    assert info.multiprocessors > 0
    free, total = device.memory()
    assert 0 < free <= total


def test_copies_and_clears_happen_in_the_order_of_the_stream(device: Device) -> None:
    with device.scope() as scope:
        stream, buffer = scope.stream(), scope.buffer(1 << 16)
        out, back = scope.pinned(1 << 16), scope.pinned(1 << 16)
        out.array[:] = np.arange(1 << 16, dtype=np.uint32).astype(np.uint8)
        stream.copy(buffer.address, out.address, 1 << 16)
        stream.copy(back.address, buffer.address, 1 << 16)
        stream.synchronize()
        np.testing.assert_array_equal(back.array, out.array)
        stream.clear(buffer)
        stream.copy(back.address, buffer.address, 1 << 16)
        stream.synchronize()
        assert not back.array.any()


def test_memory_that_was_page_locked_stays_what_it_is(device: Device) -> None:
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    seen = np.frombuffer(memory, np.uint8)
    with device.scope() as scope:
        stream, buffer, address = scope.stream(), scope.buffer(len(seen)), scope.lock(memory)
        seen[:] = 7
        stream.copy(buffer.address, address, len(seen))
        stream.synchronize()
        seen[:] = 1
        stream.copy(address, buffer.address, len(seen))
        stream.synchronize()
        assert device.live["locked"] == 1
    assert (seen == 7).all()


def test_events_tie_streams_and_tell_seconds(device: Device) -> None:
    with device.scope() as scope:
        one, other = scope.stream(), scope.stream()
        begin, end = scope.event(timing=True), scope.event(timing=True)
        buffer, back = scope.buffer(1 << 20), scope.pinned(1 << 20)
        back.array[:] = 1
        one.record(begin)
        one.clear(buffer)
        one.record(end)
        other.wait(end)
        other.copy(back.address, buffer.address, 1 << 20)
        other.synchronize()
        assert not back.array.any()
        assert 0 <= device.seconds(begin, end) < 10


def test_kernels_compute_what_the_reference_computes(device: Device) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
    grid = tile_grid((200, 150), (64, 64))
    tiles = range(len(grid.origins))
    np.testing.assert_array_equal(cut(device, frame, grid, tiles), cut(emulated(), frame, grid, tiles))
    spec, head, prototypes = random_heads("raw", images=3, seed=1)
    work = (head, prototypes, spec, Letterbox.fit((200, 150), (64, 64)), DecodeSettings(conf=0.3))
    for ours, theirs in zip(decoded(device, *work), decoded(emulated(), *work), strict=True):
        np.testing.assert_array_equal(ours.boxes, theirs.boxes)


def test_graphs_are_replayed_or_refused_by_name(device: Device) -> None:
    with device.scope() as scope:
        stream, source, back = scope.stream(), scope.pinned(64), scope.pinned(64)
        buffer = scope.buffer(64)

        def work() -> None:
            stream.copy(buffer.address, source.address, 64)
            stream.copy(back.address, buffer.address, 64)

        work()
        stream.synchronize()
        if not device.captures:
            with pytest.raises(UsageError, match="not available"):
                scope.capture(stream, work)
            return
        graph = scope.capture(stream, work)
        for value in (3, 4):
            source.array[:] = value
            graph.launch(stream)
            stream.synchronize()
            assert (back.array == value).all()


def test_too_much_memory_is_one_clear_error_and_harmless(device: Device) -> None:
    with device.scope() as scope:
        with pytest.raises(OutOfDeviceMemory):
            scope.buffer(1 << 46)
        scope.buffer(1 << 20)


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_gpu_that_is_not_there_is_an_error_of_the_environment(
    binding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, binding)
    with pytest.raises(EnvironmentFault) as error:
        Machine().gpu(99)
    if isinstance(error.value, DeviceError):
        assert "cuda:99" in error.value.message or "no NVIDIA driver" in error.value.message
        assert error.value.hint
    else:
        assert "install" in (error.value.hint or "")


def test_the_binding_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert chosen_binding() == "cuda-bindings"
    monkeypatch.setenv(VARIABLE, "pycuda")
    assert chosen_binding() == "pycuda"
    monkeypatch.setenv(VARIABLE, "opencl")
    with pytest.raises(UsageError, match="opencl") as error:
        Machine().count()
    assert "pycuda" in (error.value.hint or "")


def test_a_machine_opens_each_gpu_once() -> None:
    opened: list[int] = []

    def open_gpu(index: int) -> Device:
        opened.append(index)
        return emulated()

    machine = Machine(open_gpu, lambda: 2)
    assert machine.gpu(1) is machine.gpu(1)
    assert machine.gpu() is not machine.gpu(1)
    assert (opened, machine.count()) == ([1, 0], 2)
