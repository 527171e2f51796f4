"""Kernels run by Triton's interpreter on NumPy memory. Import this before anything imports the kernels."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import ismodule
from typing import Any

import numpy as np

from yolotrt.backends.fused.arguments import Address, Given, KernelLaunch, WeightsBlob
from yolotrt.backends.fused.launches import Launcher
from yolotrt.backends.fused.steps import Network, Step
from yolotrt.backends.fused.tiles import Tile, candidates

# Triton decides when it is imported whether it compiles or interprets.
if os.environ.get("TRITON_INTERPRET") != "1":
    os.environ["TRITON_INTERPRET"] = "1"
    for name in list(sys.modules):
        ours = name.startswith("yolotrt.backends.fused.kernels")
        if ours or (name.split(".")[0] == "triton" and not name.startswith("triton._C")):  # which loads once
            del sys.modules[name]


TYPES = {"fp16": "float16", "fp32": "float32", "i32": "int32", "i8": "int8", "u8": "uint8"}


class Pointer:
    """What the interpreter takes for a tensor: an address and a type."""

    def __init__(self, address: int, element: str) -> None:
        self.address = address
        self.dtype = TYPES[element]

    def data_ptr(self) -> int:
        return self.address

    # The interpreter copies a tensor's storage to the host and back: this one is there already.
    def untyped_storage(self) -> Pointer:
        return self

    def cpu(self) -> Pointer:
        return self

    def copy_(self, _other: Pointer) -> None:
        pass

    def new_empty(self, *_size: int, device: str) -> Pointer:
        return Pointer(self.address, next(k for k, v in TYPES.items() if v == self.dtype))

    def set_(self, *_args: object) -> None:
        pass

    def storage_offset(self) -> int:
        return 0

    def size(self) -> tuple[int, ...]:
        return ()

    def stride(self) -> tuple[int, ...]:
        return ()


@contextmanager
def patched_once() -> Iterator[None]:
    """Let the interpreter replace Triton's language once a launch.

    It does so for each call of a function of ours, too, and looks through all members of the language each
    time: that takes four tenths of a test.
    """
    from triton.runtime import interpreter

    patch = interpreter._patch_lang
    done: dict[frozenset[str], Any] = {}

    def once(function: Any) -> Any:
        seen = frozenset(
            value.__name__
            for value in function.__globals__.values()
            if ismodule(value) and value.__name__ in ("triton.language", "triton.language.core")
        )
        if seen in done:
            return type(done[seen])() if done[seen] is not None else None  # nothing to put back
        done[seen] = patch(function)
        return done[seen]

    interpreter._patch_lang = once
    try:
        yield
    finally:
        interpreter._patch_lang = patch


class Interpreted:
    """A network's memory for a batch, filled with NaN, and its kernels."""

    def __init__(self, network: Network, batch: int) -> None:
        self.network, self.batch = network, batch
        self.weights = WeightsBlob()
        self.launcher = Launcher(network, self.weights)
        self.arena = np.full(network.arena_nbytes * batch // 2 + 1024, np.nan, np.float16)
        self.head = np.full((batch, *network.head[1]), np.nan, np.float32)
        self.protos = np.full((batch, *network.protos[1]), np.nan, np.float16)
        self.images = np.zeros((batch, 3, *network.input_hw), np.float16)
        self.frame: dict[str, np.ndarray] = {}  # memory of a frame, by the names of spaces
        self.given: dict[str, int] = {}

    def run(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.images = np.ascontiguousarray(images, np.float16)
        for step in self.network.steps:
            self.do(step)
        return self.head, self.protos

    def do(self, step: Step, tile: Tile | None = None) -> None:
        self.start(self.launcher.launch(step, tile or candidates(step, self.batch)[0]))

    def start(self, launch: KernelLaunch) -> None:
        from yolotrt.backends.fused import kernels

        weights = np.frombuffer(bytearray(self.weights.data()), np.uint8)
        spaces = {
            "arena": self.arena, "weights": weights, "input": self.images, "head": self.head,
            "protos": self.protos, **self.frame,
        }  # fmt: skip
        args: list[object] = []
        for arg in launch.args.values():
            if arg is None:
                args.append(None)
                continue
            if isinstance(arg, Given):
                args.append(self.given[arg.name])
                continue
            value = arg.per_image * self.batch + arg.fixed
            if isinstance(arg, Address):
                args.append(Pointer(spaces[arg.space].ctypes.data + value, arg.element))
            else:
                args.append(value)
        with patched_once():
            getattr(kernels, launch.kernel)[(launch.programs(self.batch),)](*args, **launch.constants)
