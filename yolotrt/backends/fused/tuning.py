"""Which tiles are fastest: every candidate is compiled and timed on the GPU at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from yolotrt.artifacts.hashing import content_key
from yolotrt.backends.fused.arguments import Address, Given, KernelLaunch, Space, WeightsBlob
from yolotrt.backends.fused.compile import Compiler
from yolotrt.backends.fused.frame_stem import SampleFrame, every_step
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.steps import Network, Step
from yolotrt.backends.fused.tiles import Tile, candidates, neighbours
from yolotrt.backends.fused.timings import Timed, Timings
from yolotrt.backends.fused.variants import Code, Variant, variant_of
from yolotrt.cuda.device import Device, Kernel, Scope, Stream
from yolotrt.cuda.device import Launch as Started
from yolotrt.cuda.driver import Argument
from yolotrt.errors import BuildError
from yolotrt.progress import Progress

REPEATS = 20
"""Runs of a kernel in one measured graph."""

ROUNDS = 3
"""Measured graphs at least, of which the fastest counts: whatever else the GPU did only makes it slower."""

MOST_ROUNDS = 12
"""Measured graphs at most, where others work on the GPU: until the two fastest agree."""

AGREED = 1.02
"""What one may be slower than another that agrees with it."""


class GpuTuner:
    """Times kernels on one GPU. A context manager, since it has processes that compile.

    Args:
        device: The GPU.
        cache: File with timings of earlier builds, read and updated; None goes without.
        compiler: What identifies the compiler; timings are its own.
        fresh: Time everything, whatever the cache says, and put that there instead.

    Attributes:
        target: Such as ``sm_90``.
    """

    def __init__(self, device: Device, cache: Path | None, compiler: str, *, fresh: bool = False) -> None:
        self.device = device
        self.target = device.info.arch
        self._cache = Timings(cache, f"{device.info.name} {device.info.arch} {compiler}")
        self._fresh = fresh
        self._timed: set[str] = set()
        self._compiler = Compiler()

    @property
    def codes(self) -> Mapping[tuple[Variant, str], Code]:
        """Machine code of all that was timed."""
        return self._compiler.codes

    def __enter__(self) -> GpuTuner:
        return self

    def __exit__(self, *_: object) -> None:
        self._compiler.close()

    def tune(
        self, network: Network, batches: Sequence[int], progress: Progress
    ) -> dict[tuple[str, int], list[Tile]]:
        """Return the fastest tile of every step, for each batch size; see :class:`.assemble.Tuner`."""
        best = {batch: self.timed(network, batch, progress) for batch in batches}
        self._cache.write()
        return {(self.target, batch): [t.tile for t in found] for batch, found in best.items()}

    def seconds(self, network: Network, batch: int, progress: Progress) -> list[float]:
        """Return how long each step takes with its fastest tile; see :class:`.selection.Measuring`."""
        found = self.timed(network, batch, progress)[: len(network.steps)]
        self._cache.write()
        return [t.us * 1e-6 for t in found]

    def timed(self, network: Network, batch: int, progress: Progress) -> list[Timed]:
        """Return the fastest tile of every step and of those that read frames, and how long it takes."""
        steps = every_step(network)
        first = [candidates(step, batch) for step in steps]
        keys = [_key(network, step, batch, tiles) for step, tiles in zip(steps, first, strict=True)]
        known = [None if self._fresh and k not in self._timed else self._cache.get(k) for k in keys]
        if all(known):
            return [k for k in known if k]
        some = [[k.tile] if k else tiles for k, tiles in zip(known, first, strict=True)]
        found = self._round(network, batch, some, progress)
        near = [
            [k.tile] if k else neighbours(step, timed.tile)
            for k, step, timed in zip(known, steps, found, strict=True)
        ]
        found = self._round(network, batch, near, progress)
        for key, timed in zip(keys, found, strict=True):
            self._cache.put(key, timed)
            self._timed.add(key)
        return found

    def _round(
        self, network: Network, batch: int, options: list[list[Tile]], progress: Progress
    ) -> list[Timed]:
        """Compile and time some tiles of every step, and return the fastest of each."""
        weights = WeightsBlob()
        launcher = Launcher(network, weights)
        launches = [
            [launcher.launch(step, tile) for tile in tiles]
            for step, tiles in zip(every_step(network), options, strict=True)
        ]
        codes = self._compiler.all(
            [(variant_of(launch), self.target) for some in launches for launch in some],
            lambda done, count: progress("compile candidates", done, count),
            lenient=True,
        )
        found: list[Timed] = []
        with _Bench(self.device, network, weights.data(), batch, codes, self.target) as bench:
            for i, (tiles, some) in enumerate(zip(options, launches, strict=True)):
                progress(f"time kernels, batch {batch}", i, len(options))
                times = [bench.time(launch) for launch in some]
                at = min(range(len(times)), key=times.__getitem__)
                if times[at] == float("inf"):
                    raise BuildError(f"No kernel for {some[at].step} can be compiled for {self.target}.")
                bench.once(some[at])  # the next step reads what it writes
                found.append(Timed(tiles[at], times[at]))
        return found


class _Bench:
    """Memory for one batch size, and what is needed to time kernels on it."""

    def __init__(
        self,
        device: Device,
        network: Network,
        weights: bytes,
        batch: int,
        codes: dict[tuple[Variant, str], Code],
        target: str,
    ) -> None:
        self._device, self._batch, self._codes, self._target = device, batch, codes, target
        device.bind()
        self._scope = device.scope()
        self._stream = self._scope.stream()
        rng = np.random.default_rng(0)  # zeros would run faster than pictures do
        frame = SampleFrame.of(network, batch)
        images = rng.random((batch, 3, *network.input_hw), np.float32).astype(np.float16)
        head = int(np.prod(network.head[1])) * 4 * batch
        protos = int(np.prod(network.protos[1])) * 2 * batch
        self._spaces: dict[Space, int] = {
            "arena": self._scope.buffer(network.arena_nbytes * batch).address,
            "weights": self._scope.constant(np.frombuffer(weights, np.uint8)).address,
            "input": self._scope.constant(images).address,
            "head": self._scope.buffer(head).address,
            "protos": self._scope.buffer(protos).address,
            **{name: self._scope.constant(array).address for name, array in frame.memory.items()},
        }
        self._given = frame.given

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.close()

    def once(self, launch: KernelLaunch) -> None:
        """Run a kernel, so that the next step finds its input."""
        with self._device.scope() as scope:
            self._started(scope, launch)(self._stream)
            self._stream.synchronize()

    def time(self, launch: KernelLaunch) -> float:
        """Return how long a kernel takes, µs; infinity if it could not be compiled."""
        if (variant_of(launch), self._target) not in self._codes:
            return float("inf")
        with self._device.scope() as scope:
            started = self._started(scope, launch)
            started(self._stream)
            return graph_seconds(self._device, scope, self._stream, lambda: self._repeat(started)) * (
                1e6 / REPEATS
            )

    def _repeat(self, started: Started) -> None:
        for _ in range(REPEATS):
            started(self._stream)

    def _started(self, scope: Scope, launch: KernelLaunch) -> Started:
        code = self._codes[variant_of(launch), self._target]
        kernel: Kernel = scope.kernel(code.cubin, code.name, threads=code.threads, shared=code.shared)
        arguments: list[Argument] = []
        for arg in launch.args.values():
            if isinstance(arg, Address):
                at = self._spaces[arg.space] + arg.per_image * self._batch + arg.fixed
                arguments.append(("pointer", at))
            elif isinstance(arg, Given):
                arguments.append(("int", self._given[arg.name]))
            elif arg is not None:
                arguments.append(("int", arg.per_image * self._batch + arg.fixed))
        arguments += [("pointer", 0), ("pointer", 0)]
        return kernel.launch(launch.programs(self._batch), arguments)


def graph_seconds(device: Device, scope: Scope, stream: Stream, work: Callable[[], None]) -> float:
    """Return the shortest time that work takes as a graph."""
    graph = scope.capture(stream, work)
    begin, end = scope.event(timing=True), scope.event(timing=True)
    graph.launch(stream)
    times: list[float] = []
    while len(times) < ROUNDS or (len(times) < MOST_ROUNDS and times[1] > AGREED * times[0]):
        stream.record(begin)
        graph.launch(stream)
        stream.record(end)
        stream.synchronize()
        times = sorted([*times, device.seconds(begin, end)])
    return times[0]


def _key(network: Network, step: Step, batch: int, tiles: list[Tile]) -> str:
    """Return a key of what is computed, whatever it is called and wherever it lies."""
    launch = Launcher(network, WeightsBlob()).launch(step, tiles[0])
    counts = [(n, vars(a)) for n, a in launch.args.items() if a is not None and not isinstance(a, Address)]
    elements = {n: a.element for n, a in launch.args.items() if isinstance(a, Address)}
    shape = {"batch": batch, "kernel": launch.kernel, "counts": counts, "constants": launch.constants,
             "elements": elements}  # fmt: skip
    return content_key({**shape, "tiles": [t.as_dict() for t in tiles]})
