"""Run as a process: ``yolotrt`` on a machine that has TensorRT 10 and an RTX 5060 Ti, both doubles."""

from __future__ import annotations

import enum
import sys
from importlib.machinery import ModuleSpec

from tests.backends.trt_stubs import builder_double
from tests.cuda.emulator import HostDriver, emulated


def install() -> None:
    module = builder_double.without()
    module.BuilderFlag = enum.Enum("BuilderFlag", "VERSION_COMPATIBLE INT8 FP16")  # the last two are 10's
    module.__spec__ = ModuleSpec("tensorrt", None)
    sys.modules["tensorrt"] = module

    from yolotrt.cuda import probe

    found = probe.FoundGpu("NVIDIA GeForce RTX 5060 Ti", (12, 0), "13.0")
    probe.find_gpu = lambda ordinal=0: found

    from yolotrt.cuda import machine

    # The double computes at once, so that what it does cannot be captured.
    device = emulated(HostDriver(captures=False))
    machine.HERE._open_gpu = lambda index: device

    from yolotrt.machine import memory

    memory._CHILD = f"from tests.cli import tensorrt_world; tensorrt_world.install(); {memory._CHILD}"


if __name__ == "__main__":
    install()

    from yolotrt.cli.app import main

    main()
