"""The seam over cuda-bindings on a real GPU."""

from __future__ import annotations

import ctypes

import pytest

from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import OutOfDeviceMemory
from yolotrt.cuda.nvidia import NvidiaDriver
from yolotrt.errors import DeviceError
from yolotrt.machine.nvml import gpu_state, handle_of, other_gpu_processes

pytestmark = pytest.mark.gpu

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def test_describes_the_gpu(gpu: Device) -> None:
    info = gpu.info
    assert info.arch.startswith("sm_")
    assert info.multiprocessors > 0
    free, total = gpu.memory()
    assert 0 < free <= total
    assert total == pytest.approx(info.memory_bytes, rel=0.1)


@pytest.mark.usefixtures("gpu")
def test_the_management_library_is_asked_about_this_very_gpu() -> None:
    """Whatever CUDA_VISIBLE_DEVICES hides, and in whatever order: of each GPU there is."""
    import pynvml

    found = []
    for index in range(NvidiaDriver.count()):
        device = Device(NvidiaDriver(index))
        try:
            info = device.info
        finally:
            device.close()
        state = gpu_state(info.pci_bus_id)
        assert state is not None
        assert state.name == info.name
        assert state.memory_mib == pytest.approx(info.memory_bytes >> 20, rel=0.1)
        pynvml.nvmlInit()
        found.append(pynvml.nvmlDeviceGetUUID(handle_of(pynvml, info.pci_bus_id)))
        pynvml.nvmlShutdown()
    assert len(set(found)) == NvidiaDriver.count()


def test_copies_and_clears_in_order(gpu: Device) -> None:
    with gpu.scope() as scope:
        pinned, back = scope.pinned(1 << 20), scope.pinned(1 << 20)
        buffer, stream = scope.buffer(1 << 20), scope.stream()
        pinned.array[:] = 7
        stream.copy(buffer.address, pinned.address, 1 << 20)
        stream.copy(back.address, buffer.address, 1 << 20)
        stream.synchronize()
        assert (back.array == 7).all()
        stream.clear(buffer)
        stream.copy(back.address, buffer.address, 1 << 20)
        stream.synchronize()
        assert not back.array.any()


def test_replays_a_graph_with_a_fork_and_a_join(gpu: Device) -> None:
    with gpu.scope() as scope:
        main, side = scope.stream(), scope.stream()
        fork, join = scope.event(), scope.event()
        begin, end = scope.event(timing=True), scope.event(timing=True)
        source, middle, back = scope.pinned(4096), scope.buffer(8192), scope.pinned(8192)

        def work() -> None:
            main.record(begin, readable=True)
            main.record(fork)
            side.wait(fork)
            main.copy(middle.address, source.address, 4096)
            side.copy(middle.address + 4096, source.address, 4096)
            side.record(join)
            main.wait(join)
            main.copy(back.address, middle.address, 8192)
            main.record(end, readable=True)

        work()
        main.synchronize()
        graph = scope.capture(main, work)
        for value in (3, 4):
            source.array[:] = value
            graph.launch(main)
            main.synchronize()
            assert (back.array == value).all()
            assert 0 < gpu.seconds(begin, end) < 1


def test_host_callbacks_are_left_out_of_graphs(gpu: Device) -> None:
    """A callback between two copies runs when it is captured by nobody, and never in a replay."""
    from cuda.bindings import driver

    calls: list[int] = []
    callback = CALLBACK(lambda _: calls.append(1))
    address = ctypes.cast(callback, ctypes.c_void_p).value
    with gpu.scope() as scope:
        main, side, event = scope.stream(), scope.stream(), scope.event()
        source, back = scope.pinned(16), scope.pinned(16)
        buffer = scope.buffer(16)

        def work() -> None:
            main.copy(buffer.address, source.address, 16)
            assert not int(driver.cuLaunchHostFunc(main.handle, address, 0)[0])
            main.record(event)
            side.wait(event)
            main.wait(event)
            main.copy(back.address, buffer.address, 16)

        work()
        main.synchronize()
        assert calls == [1]
        graph = scope.capture(main, work)
        source.array[:] = 5
        graph.launch(main)
        main.synchronize()
        assert calls == [1]
        assert (back.array == 5).all()


def test_too_much_memory_is_one_clear_error_and_harmless(gpu: Device) -> None:
    with gpu.scope() as scope:
        with pytest.raises(OutOfDeviceMemory, match="Not enough memory on cuda:0 for"):
            scope.buffer(1 << 46)
        scope.buffer(1 << 20)


def test_a_failed_capture_leaves_the_stream_usable(gpu: Device) -> None:
    with gpu.scope() as scope:
        stream, buffer = scope.stream(), scope.buffer(64)

        def work() -> None:
            stream.clear(buffer)
            stream.synchronize()  # not allowed in a capture

        with pytest.raises(DeviceError):
            scope.capture(stream, work)
        stream.clear(buffer)
        stream.synchronize()


def test_refuses_a_gpu_that_is_not_there(gpu: Device) -> None:
    with pytest.raises(DeviceError, match="There is no GPU cuda:99"):
        NvidiaDriver(99)
    assert NvidiaDriver.count() >= 1


def test_nothing_stays_allocated(gpu: Device) -> None:
    def round_trip() -> None:
        with gpu.scope() as scope:
            stream, buffer = scope.stream(), scope.buffer(64 << 20)
            pinned, event = scope.pinned(1 << 20), scope.event(timing=True)
            graph = scope.capture(stream, lambda: stream.copy(buffer.address, pinned.address, 1 << 20))
            graph.launch(stream)
            stream.record(event)
            stream.synchronize()

    round_trip()
    alone = not other_gpu_processes(gpu.info.pci_bus_id)
    before, _ = gpu.memory()
    for _ in range(20):
        round_trip()
    assert gpu.live == {}
    if alone and not other_gpu_processes(gpu.info.pci_bus_id):
        assert abs(gpu.memory()[0] - before) <= 2 << 20
