"""Resources have owners and are freed, in every order of events."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cuda.emulator import HostDriver, emulated
from yolotrt.cuda.device import Scope
from yolotrt.cuda.driver import DeviceLost, OutOfDeviceMemory
from yolotrt.errors import UsageError


def _one_of_each(scope: Scope) -> None:
    scope.buffer(100)
    scope.pinned(100)
    stream = scope.stream()
    scope.event()
    scope.capture(stream, lambda: scope.stream and stream.clear(scope.buffer(1)))


def test_counts_and_frees_what_a_scope_made() -> None:
    device = emulated()
    with device.scope() as scope:
        _one_of_each(scope)
        assert device.live == {"buffer": 2, "pinned": 1, "stream": 1, "event": 1, "graph": 1}
    assert device.live == {}
    scope.close()


def test_closing_the_device_closes_its_scopes() -> None:
    driver = HostDriver()
    with emulated(driver) as device:
        _one_of_each(device.scope())
        _one_of_each(device.scope())
    assert device.live == {}
    assert driver.memory()[0] == driver.memory_limit
    assert driver.calls[-1] == "release"


def test_a_lost_device_can_still_be_closed() -> None:
    driver = HostDriver()
    device = emulated(driver)
    _one_of_each(device.scope())
    driver.fails_at = "free"
    device.close()
    assert device.live == {}


def test_what_did_not_fit_is_not_counted() -> None:
    device = emulated(HostDriver(memory_limit=1000))
    scope = device.scope()
    scope.buffer(600)
    with pytest.raises(OutOfDeviceMemory):
        scope.buffer(600)
    assert device.live == {"buffer": 1}


def test_a_failed_capture_is_ended_and_makes_no_graph() -> None:
    driver = HostDriver()
    device = emulated(driver)
    scope = device.scope()
    stream = scope.stream()

    def fails() -> None:
        raise DeviceLost("in the middle")

    with pytest.raises(DeviceLost):
        scope.capture(stream, fails)
    assert device.live == {"stream": 1}
    graph = scope.capture(stream, lambda: stream.clear(scope.buffer(8)))
    graph.launch(stream)


def test_capturing_is_refused_where_the_binding_cannot() -> None:
    scope = emulated(HostDriver(captures=False)).scope()
    with pytest.raises(UsageError, match="graphs are not available"):
        scope.capture(scope.stream(), lambda: None)


def test_pinned_memory_is_zeroed_and_shared_with_its_array() -> None:
    device = emulated()
    scope = device.scope()
    pinned, buffer, stream = scope.pinned(16), scope.buffer(16), scope.stream()
    assert not pinned.array.any()
    pinned.array[:] = np.arange(16)
    stream.copy(buffer.address, pinned.address, 16)
    pinned.array[:] = 0
    stream.copy(pinned.address, buffer.address, 16)
    stream.synchronize()
    assert pinned.array.tolist() == list(range(16))


def test_kernels_of_one_variant_are_loaded_once() -> None:
    driver = HostDriver()
    device = emulated(driver)
    for half in (0, 1, 0):
        device.launch(
            "prepare", "cut_tiles", grid=(1, 1, 1), block=(1, 1, 1), arguments=[], defines={"HALF": half}
        )
    assert len(driver._modules) == 2
