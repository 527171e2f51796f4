"""Products of FP8 in the project's convolution kernel, beside FP16 and INT8: what an FP8 engine could gain.

    python -m benchmarks.fp8_products YOLO11N-SEG.onnx --calibration YOLO11N-SEG.calib.json [--output FILE]

The five convolutions of YOLO11n-seg that take longest (``fused.json``) and may be INT8, for a batch of 32. Of
each type every tile that the tuner tries is timed, its neighbours too, and then the fastest of each in turn.
FP8 (e4m3) reads and writes as many bytes as INT8. On SM 90 its sums are taken twice: as the tensor cores add
them up, with about 14 bits, and added up in FP32 after each step. Results that are maps are compared with
NumPy's for the first image, from the same rounded numbers, before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.fp8_reference import E4M3, convolved, stored_as
from benchmarks.fp8_subjects import EXACT, ProductSubject, subjects
from benchmarks.output import emit
from yolotrt.backends.fused.arguments import Address, KernelLaunch, WeightsBlob
from yolotrt.backends.fused.compile_process import compile_one
from yolotrt.backends.fused.parts import Slice
from yolotrt.backends.fused.tiles import Tile, candidates, neighbours
from yolotrt.backends.fused.tuning import REPEATS, graph_seconds
from yolotrt.backends.fused.variants import Code, Variant, variant_of
from yolotrt.cuda.device import Device, Scope, Stream
from yolotrt.cuda.device import Launch as Started
from yolotrt.cuda.driver import Argument
from yolotrt.cuda.machine import HERE
from yolotrt.errors import ExecutionError
from yolotrt.machine.environment import environment

MOST = 32
"""Products that the tensor cores add up before an addition in FP32: one instruction's."""

BATCH = 32

OFF = 0.02
"""What a result may be off. The tensor cores' own sums of FP8 have 14 bits, and then may round to the next of
few numbers."""


def compiled(task: tuple[Variant, str, bool]) -> Code | None:
    """Compile a kernel; None if it cannot be.

    Triton lets the tensor cores of SM 90 add up FP8 unless it is told at each product, or here.
    """
    from triton.backends.nvidia.compiler import CUDABackend

    variant, target, exact = task
    plain = CUDABackend.parse_options

    def options(self: Any, given: Any) -> Any:
        return replace(plain(self, given), max_num_imprecise_acc_default=MOST)

    try:
        with patch.object(CUDABackend, "parse_options", options if exact else plain):
            return compile_one(variant, target)
    except Exception:  # whatever the compiler raises: one candidate less
        return None


class ProductBench:
    """The memory of one subject, and what runs it."""

    def __init__(self, device: Device, subject: ProductSubject, pool: ProcessPoolExecutor) -> None:
        self.subject, self._device, self._pool = subject, device, pool
        self._codes: dict[Variant, Code | None] = {}
        self._blob = WeightsBlob()
        self._launches: dict[Tile, KernelLaunch] = {}
        self._spaces: dict[str, int] = {}
        self.dtype: Any = {"FP16": np.float16, "INT8": np.int8}.get(subject.kind, E4M3)
        self.first: list[np.ndarray] = []

    def compile(self, tiles: Iterable[Tile]) -> None:
        """Compile what is not compiled yet."""
        for tile in tiles:
            self._launches[tile] = self.subject.launch(tile, self._blob)
        fresh = [v for v in map(variant_of, self._launches.values()) if v not in self._codes]
        exact = self.subject.kind == EXACT
        tasks = [(v, self._device.info.arch, exact) for v in dict.fromkeys(fresh)]
        self._codes |= dict(zip(dict.fromkeys(fresh), self._pool.map(compiled, tasks), strict=True))

    def place(self, scope: Scope, stream: Stream) -> None:
        """Fill memory with random numbers, the same in every type but for their rounding."""
        network, rng = self.subject.network, np.random.default_rng(0)
        self._spaces = {
            "arena": scope.buffer(network.arena_nbytes * BATCH).address,
            "head": scope.buffer(int(np.prod(network.head[1])) * 4 * BATCH).address,
        }
        self._scope, self._stream = scope, stream
        for part in self.subject.step.sources:
            m = network.maps[part.map]
            numbers = np.clip(rng.normal(8, 24, (BATCH, m.height, m.width, m.channels)), -127, 127).round()
            half = self.subject.kind == "FP16"
            stored = (numbers / 32 if half else numbers).astype(np.float32).astype(self.dtype)
            self.first.append(stored[0].astype(np.float32)[..., part.first : part.first + part.channels])
            host = scope.pinned(stored.nbytes)
            host.array[: stored.nbytes] = stored.view(np.uint8).ravel()
            stream.copy(
                self._spaces["arena"] + network.offsets[part.map] * BATCH, host.address, stored.nbytes
            )
        stream.synchronize()

    def store_weights(self) -> None:
        """Copy the weights of all tiles to the GPU, once they are known."""
        self._spaces["weights"] = self._scope.constant(np.frombuffer(self._blob.data(), np.uint8)).address

    def started(self, tile: Tile) -> Started | None:
        """Return how to start a tile; None if it could not be compiled, or does not fit."""
        launch = self._launches[tile]
        code = self._codes[variant_of(launch)]
        if code is None or code.shared > 227 * 1024:
            return None
        kernel = self._scope.kernel(code.cubin, code.name, threads=code.threads, shared=code.shared)
        arguments: list[Argument] = []
        for arg in launch.args.values():
            if isinstance(arg, Address):
                arguments.append(("pointer", self._spaces[arg.space] + arg.per_image * BATCH + arg.fixed))
            elif arg is not None:
                arguments.append(("int", arg.per_image * BATCH + arg.fixed))  # type: ignore[union-attr]
        return kernel.launch(launch.programs(BATCH), [*arguments, ("pointer", 0), ("pointer", 0)])

    def time(self, tile: Tile) -> float:
        """Return the shortest time of a tile, µs; infinity if it cannot run."""
        started = self.started(tile)
        if started is None:
            return float("inf")
        repeat = _repeated(started, self._stream)
        repeat()
        return graph_seconds(self._device, self._scope, self._stream, repeat) * 1e6 / REPEATS

    def off(self, tile: Tile) -> float | None:
        """Return how far the first image's result is from NumPy's, as a part of it; None if it is no map.

        Raises:
            ExecutionError: It is further off than rounding explains.
        """
        given = self._result(tile)
        if given is None:
            return None
        values, columns = given
        exact = convolved(self.subject.step, np.concatenate(self.first, axis=-1), self.dtype)
        wanted = stored_as(exact, self.dtype)[..., columns]
        off = float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))
        if not off < OFF:
            raise ExecutionError(f"{self.subject.step.name} in {self.subject.kind} is off by {off:.2g}.")
        return off

    def _result(self, tile: Tile) -> tuple[np.ndarray, slice] | None:
        """Return what is stored in this type, from memory that held NaN, and which columns those are."""
        step, network = self.subject.step, self.subject.network
        part = step.store if self.subject.kind == "FP16" else step.also or step.store
        started = self.started(tile)
        if not isinstance(part, Slice) or started is None:
            return None
        m = network.maps[part.map]
        host = self._scope.pinned(m.nbytes)
        host.array[: m.nbytes] = 0xFF
        at = self._spaces["arena"] + network.offsets[part.map] * BATCH
        self._stream.copy(at, host.address, m.nbytes)
        started(self._stream)
        self._stream.copy(host.address, at, m.nbytes)
        self._stream.synchronize()
        values = host.array[: m.nbytes].view(self.dtype).reshape(m.height, m.width, m.channels)
        ends = ("FIRST", "END") if self.subject.kind == "FP16" else ("FIRST_8", "END_8")
        first, end = (self._launches[tile].constants[name] for name in ends)
        columns = slice(first, end or part.channels)
        return values[..., part.first :][..., columns].astype(np.float32), columns


def _repeated(started: Started, stream: Stream) -> Any:
    def repeat() -> None:
        for _ in range(REPEATS):
            started(stream)

    return repeat


def measured(
    device: Device, kinds: list[ProductSubject], pool: ProcessPoolExecutor, rounds: int
) -> dict[str, Any]:
    """Return the fastest tile of each type, how far it is off, and samples that were taken in turn, µs."""
    with device.scope() as scope:
        stream = scope.stream()
        runs: dict[str, Any] = {}
        found: dict[str, dict[str, Any]] = {}
        for subject in kinds:
            bench = ProductBench(device, subject, pool)
            tiles = candidates(subject.step, BATCH)
            bench.place(scope, stream)
            for _ in range(2):
                bench.compile(tiles)
                bench.store_weights()
                best = min(tiles, key=bench.time)
                tiles = neighbours(subject.step, best)
            off = bench.off(best)
            started = bench.started(best)
            assert started
            runs[subject.kind] = scope.capture(stream, _repeated(started, stream))
            found[subject.kind] = {"tile": best.as_dict(), "off": off, "samples_us": []}
        begin, end = scope.event(timing=True), scope.event(timing=True)
        for turn in range(rounds + 3):
            for kind, graph in runs.items():
                stream.record(begin)
                graph.launch(stream)
                stream.record(end)
                stream.synchronize()
                if turn >= 3:
                    spent = device.seconds(begin, end) * 1e6 / REPEATS
                    found[kind]["samples_us"].append(round(spent, 3))
        for one in found.values():
            one["p50_us"] = round(float(np.median(one["samples_us"])), 3)
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/fused-fp8.json"))
    options = parser.parse_args(arguments)
    device, threads = HERE.gpu(), os.cpu_count() or 1
    device.bind()
    report: dict[str, Any] = {
        "environment": environment(threads, device.info.pci_bus_id), "batch": BATCH, "steps": {},
    }  # fmt: skip
    with ProcessPoolExecutor(threads, mp_context=get_context("spawn")) as pool:
        for kinds in subjects(options.network, options.calibration):
            found = measured(device, kinds, pool, options.rounds)
            report["steps"][kinds[0].step.name] = found
            print(kinds[0].step.name, {k: v["p50_us"] for k, v in found.items()}, file=sys.stderr)
    emit(report, options.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
