"""Engines of the fused backend for the benchmarks: built on this GPU, or before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from yolotrt.backends.base import BuildConfig, EngineFile, Precision
from yolotrt.backends.files import Layer
from yolotrt.backends.fused.backend import FusedBackend
from yolotrt.backends.fused.runtime import load
from yolotrt.backends.profiles import Profile
from yolotrt.backends.sidecar import read_engine, write_engine
from yolotrt.cuda.device import Device
from yolotrt.model.spec import ModelSpec
from yolotrt.progress import no_progress

NAMES = {"fp16": "fused", "int8": "fused INT8"}


@dataclass
class LoadedFused:
    """An engine on the GPU, and what it was made of."""

    engine: Any
    data: bytes
    layers: Sequence[Layer]


def build(
    network: onnx.ModelProto, spec: ModelSpec, precision: Precision, device: Device, batches: list[int],
    work: Path,
) -> LoadedFused:  # fmt: skip
    """Build an engine of a network that holds its precision, and load it."""
    config = BuildConfig(
        spec, tuple(Profile.fixed(n) for n in batches), precision, timing_cache=work / "timing.cache"
    )
    backend = FusedBackend()
    backend.check(config)
    built = backend.build(network, config, no_progress)
    file = EngineFile(
        work / f"{spec.name}.{precision}.fused", backend.name, precision, spec, tuple(batches), "",
        environment=backend.environment(config),
    )  # fmt: skip
    work.mkdir(parents=True, exist_ok=True)
    return LoadedFused(load(write_engine(file, built.data), device), built.data, built.layers)


def built_before(paths: Sequence[Path], spec: ModelSpec, device: Device) -> dict[str, LoadedFused]:
    """Return those of a network among engines that were built before, by what tables call them."""
    found = {}
    for file in map(read_engine, paths):
        if file.spec.name == spec.name:
            data = file.path.read_bytes()
            found[NAMES[file.precision]] = LoadedFused(load(file, device), data, file.layers)
    return found
