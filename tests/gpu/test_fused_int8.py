"""INT8 layers of the fused engine on a real GPU, each given what the network with Q/DQ gives it.

``YOLOTRT_TEST_QDQ`` may name a network in FP32 with Q/DQ, as the toolkit writes it, to be run as well.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.backends.fused.networks import Shape, yolo
from tests.backends.fused.quantised import Forced, quantised
from yolotrt.backends.fused.arguments import Address, KernelLaunch, WeightsBlob
from yolotrt.backends.fused.compile import compile_all
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.planner import NetworkPlan
from yolotrt.backends.fused.steps import Step
from yolotrt.backends.fused.tiles import candidates
from yolotrt.backends.fused.variants import Code, Variant, variant_of
from yolotrt.cuda.device import Device
from yolotrt.cuda.driver import Argument
from yolotrt.model.onnxfile import read_spec

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(find_spec("triton") is None, reason="needs triton (the fused extra)"),
]


class OnGpu:
    """A network's memory on the GPU, and its steps."""

    def __init__(self, device: Device, plan: NetworkPlan, images: np.ndarray) -> None:
        self.network, self.batch, self._device = plan.network(), len(images), device
        weights = WeightsBlob()
        launcher = Launcher(self.network, weights)
        self._launches = {
            step.name: launcher.launch(step, candidates(step, self.batch)[0]) for step in self.network.steps
        }
        self._target = device.info.arch
        self._codes: dict[tuple[Variant, str], Code] = compile_all(
            [(variant_of(launch), self._target) for launch in self._launches.values()]
        )
        device.bind()
        self._scope = device.scope()
        self._stream = self._scope.stream()
        nbytes = self.network.arena_nbytes * self.batch
        self._host = self._scope.pinned(nbytes)
        self.head = self._scope.pinned(int(np.prod(self.network.head[1])) * 4 * self.batch)
        self._spaces = {
            "arena": self._scope.buffer(nbytes).address,
            "weights": self._scope.constant(np.frombuffer(weights.data(), np.uint8)).address,
            "input": self._scope.constant(images.astype(np.float16)).address,
            "head": self._scope.buffer(self.head.array.nbytes).address,
            "protos": self._scope.buffer(int(np.prod(self.network.protos[1])) * 2 * self.batch).address,
        }

    def __enter__(self) -> OnGpu:
        return self

    def __exit__(self, *_: object) -> None:
        self._scope.close()

    def do(self, step: Step, arena: np.ndarray) -> np.ndarray:
        nbytes = self.network.arena_nbytes * self.batch
        self._host.array[:nbytes] = arena.view(np.uint8)[:nbytes]
        self._stream.copy(self._spaces["arena"], self._host.address, nbytes)
        with self._device.scope() as scope:
            self._start(scope, self._launches[step.name])
            self._stream.synchronize()
        self._stream.copy(self._host.address, self._spaces["arena"], nbytes)
        self._stream.copy(self.head.address, self._spaces["head"], self.head.array.nbytes)
        self._stream.synchronize()
        found: np.ndarray = self._host.array[:nbytes].view(np.float16)
        return found

    def _start(self, scope, launch: KernelLaunch) -> None:  # type: ignore[no-untyped-def]
        code = self._codes[variant_of(launch), self._target]
        kernel = scope.kernel(code.cubin, code.name, threads=code.threads, shared=code.shared)
        arguments: list[Argument] = []
        for arg in launch.args.values():
            if isinstance(arg, Address):
                at = self._spaces[arg.space] + arg.per_image * self.batch + arg.fixed
                arguments.append(("pointer", at))
            elif arg is not None:
                arguments.append(("int", arg.per_image * self.batch + arg.fixed))
        kernel.launch(launch.programs(self.batch), [*arguments, ("pointer", 0), ("pointer", 0)])(self._stream)


def checked(device: Device, model: onnx.ModelProto, images: np.ndarray) -> dict[str, float]:
    plan = NetworkPlan(model, read_spec(model, "network"))
    with OnGpu(device, plan, images) as found:
        forced = Forced(model, plan, found.network, images)
        off = forced.run(found.do)
        head = forced.right[found.network.head[0]]
        rows = found.head.array.view(np.float32)[: head.size].reshape(head.shape)
        assert np.abs(rows - head).max() <= 2e-2 * np.abs(head).max()
    return off


def test_every_step_of_a_miniature_is_within_a_step(gpu: Device) -> None:
    shape = Shape(size=96, areas=9, bins=16, width=16)
    images = np.random.default_rng(5).random((2, 3, shape.size, shape.size), np.float32)
    off = checked(gpu, quantised(yolo(shape), images), images)
    assert len(off) > 20
    assert float(np.mean(list(off.values()))) < 0.02


def test_every_step_of_a_real_network_is_within_a_step(gpu: Device) -> None:
    named = os.environ.get("YOLOTRT_TEST_QDQ")
    if not named:
        pytest.skip("YOLOTRT_TEST_QDQ names no network")
    model = onnx.load(Path(named))
    width, height = read_spec(model, "network").input_wh
    smooth = np.random.default_rng(6).random((1, 3, height // 16, width // 16), np.float32)
    off = checked(gpu, model, smooth.repeat(16, 2).repeat(16, 3))
    print(f"one off: {np.mean(list(off.values())):.4f} on average, {max(off.values()):.4f} at most")
    assert len(off) > 40
    assert float(np.mean(list(off.values()))) < 0.02
