"""From an engine file to an engine that runs: admitted, placed, loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from yolotrt.backends.admission import admit
from yolotrt.backends.base import (
    Backend,
    Context,
    DeviceEngine,
    Engine,
    EngineFile,
    LoadedOnDevice,
    Placement,
)
from yolotrt.backends.placement import place
from yolotrt.backends.registry import backend
from yolotrt.cuda.machine import HERE, Machine


class Replicas:
    """The same engine on several GPUs, for frames whose tiles are dealt out to them.

    Attributes:
        file: The engine on disk.
        parts: The engine on each GPU.
    """

    def __init__(self, engines: Sequence[LoadedOnDevice]) -> None:
        self.file = engines[0].file
        self.parts: Sequence[DeviceEngine] = tuple(engines)
        self._engines = tuple(engines)

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Context:
        """Return a context on the first GPU; see :meth:`yolotrt.backends.base.Engine.new_context`."""
        return self._engines[0].new_context(batch, lane=lane, threads=threads)

    def close(self) -> None:
        """Free them all."""
        for engine in self._engines:
            engine.close()


def load_engine(file: EngineFile, device: str = "auto", *, machine: Machine = HERE) -> Engine:
    """Load an engine with the backend that built it, where :func:`yolotrt.backends.placement.place` says.

    Args:
        file: The engine.
        device: ``auto``, ``cpu``, ``cuda:0`` or ``cuda:0,1``.
        machine: Where it runs.

    Raises:
        UsageError: It is no device, or the engine cannot run there.
        ArtifactError: The engine does not fit this machine.
        EnvironmentFault: The device does not work here.
    """
    return _loader(file, device, machine)()


def _loader(file: EngineFile, device: str, machine: Machine) -> Callable[[], Engine]:
    """Return what loads an engine as :func:`load_engine` does, with the backend's module imported."""
    placement, loader = place(file, device), backend(file.backend)
    return partial(_load, file, placement, loader, machine)


def _load(file: EngineFile, placement: Placement, loader: Backend, machine: Machine) -> Engine:
    if not placement.gpus:
        return loader.load(file)
    engines: list[LoadedOnDevice] = []
    try:
        for index in placement.gpus:
            engines.append(loader.load_on(file, machine.gpu(index)))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return engines[0] if len(engines) == 1 else Replicas(engines)


def open_engine(
    path: Path,
    device: str = "auto",
    *,
    trust: bool = False,
    warn: Callable[[str], None] = lambda _: None,
    machine: Machine = HERE,
) -> Engine:
    """Load an engine file.

    Args:
        path: The engine.
        device: As in :func:`load_engine`.
        trust: Also an engine that no sidecar vouches for; see :func:`yolotrt.backends.admission.admit`.
        warn: Told when that was needed.
        machine: Where it runs.

    Raises:
        InputError: It is missing or unreadable.
        ArtifactError: No sidecar vouches for it, or it is damaged or does not fit this machine.
        EnvironmentFault: It is a TensorRT engine, and TensorRT or a GPU is missing.
    """
    return load_engine(admit(path, trust=trust, warn=warn, machine=machine), device, machine=machine)


@contextmanager
def opening(
    path: Path,
    device: str = "auto",
    *,
    threads: int,
    trust: bool = False,
    warn: Callable[[str], None] = lambda _: None,
) -> Iterator[Callable[[], Engine]]:
    """Load an engine while the block gets ready for it, and close it in the end.

    Loading waits for files and libraries that let other threads run: a program of one picture ends sooner.
    What is Python's own of it is done first, since only one thread at a time runs that.

    Args:
        path: The engine.
        device: As in :func:`open_engine`.
        threads: Of a processor, which one of its contexts may use: that is made, too.
        trust: As there.
        warn: As there.

    Yields:
        What waits for the engine and returns it.

    Raises:
        YoloTrtError: As :func:`open_engine`: at once, or when it is waited for.
    """
    load = _loader(admit(path, trust=trust, warn=warn, loading=True), device, HERE)

    def ready() -> Engine:
        engine = load()
        if not engine.parts:  # on a GPU the frame's size decides what is made
            try:
                engine.new_context(1, threads=threads)
            except BaseException:
                engine.close()
                raise
        return engine

    loading = _Loading(ready)
    loading.start()
    try:
        yield loading.result
    finally:
        loading.join()
        if loading.engine is not None:
            loading.engine.close()


class _Loading(threading.Thread):
    """A thread that loads an engine. An executor would do, but its module takes 4 ms to import."""

    def __init__(self, ready: Callable[[], Engine]) -> None:
        super().__init__(name="opening")
        self._ready = ready
        self._error: BaseException | None = None
        self.engine: Engine | None = None

    def run(self) -> None:
        try:
            self.engine = self._ready()
        except BaseException as exc:
            self._error = exc

    def result(self) -> Engine:
        """Wait for the engine; raise what kept it from being loaded."""
        self.join()
        if self._error is not None:
            raise self._error
        assert self.engine is not None
        return self.engine
