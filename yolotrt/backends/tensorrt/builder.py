"""A network in, an engine out."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from yolotrt.backends.base import BuildConfig, BuiltEngine, Layer
from yolotrt.backends.tensorrt import implicit, options, timing_cache
from yolotrt.backends.tensorrt.layers import from_report, with_lost_fusions
from yolotrt.backends.tensorrt.library import Library
from yolotrt.backends.tensorrt.log import Said
from yolotrt.backends.tensorrt.progress import BuildProgress, new_monitor
from yolotrt.cuda.probe import FoundGpu
from yolotrt.errors import EXIT_INTERRUPTED, BuildError
from yolotrt.progress import Progress

if TYPE_CHECKING:
    import onnx
    import tensorrt as trt

T = TypeVar("T")

_HINTS = (
    (
        r"out ?of ?memory|MemoryAllocation|Requested amount of GPU memory",
        "The GPU's memory ran out: close other programs on it, or use smaller --batch or --workspace.",
    ),
    (r"fp8_e4m3", "FP8 needs compute capability 8.9 or newer; use --int8 or --fp16."),
    (r"FP32 GEMM is not supported", "Turing has no FP32 matrix products here; use --fp16."),
    (r"libnvinfer_lean", "--version-compatible needs the lean runtime: pip install tensorrt-lean-cu13"),
    (
        r"could not find any implementation|no valid tactic|no tactics|workspace",
        "Give it more --workspace. If it has enough, this GPU cannot compute the layer so: try --fp16.",
    ),
    (r"error:? 35\b|driver version is insufficient", "Update the NVIDIA driver."),
)


def build(
    library: Library, model: onnx.ModelProto, config: BuildConfig, gpu: FoundGpu | None, progress: Progress
) -> BuiltEngine:
    """Build an engine.

    Args:
        library: The library.
        model: The network in its final precision, or in FP32 with ``config.calibration_table``.
        config: How to build it.
        gpu: The GPU here; None where the library builds ahead of time and there is none.
        progress: Told about TensorRT's phases.

    Raises:
        UsageError: An option or precision that this library or GPU does not offer.
        BuildError: TensorRT refused the network or failed.
        KeyboardInterrupt: The user cancelled; TensorRT has stopped cleanly.
    """
    options.check(library, config, gpu)
    monitored = BuildProgress(progress)

    def work() -> BuiltEngine:
        data = _build(library, model, config, gpu, monitored, said)
        return BuiltEngine(data, with_lost_fusions(_layers(library, data, gpu, said), model))

    with library.log.session(config.log) as said:
        # All of it, not only the build: parser and builder call our logger, and a Ctrl-C that arrives
        # while it runs would end in TensorRT's frames, which drop it.
        return interruptible(work, monitored.cancel)


def _build(
    library: Library,
    model: onnx.ModelProto,
    config: BuildConfig,
    gpu: FoundGpu | None,
    progress: BuildProgress,
    said: Said,
) -> bytes:
    api = library.trt
    try:
        builder: trt.Builder = api.Builder(library.logger)
    except (RuntimeError, TypeError) as exc:  # TypeError: the library gave no object
        raise _failure(f"{library.title} could not start", said) from exc
    network = builder.create_network(_network_flags(library, config))
    _parse(library, network, model, config.spec.name)
    native = builder.create_builder_config()
    options.apply(library, config, gpu, builder, native)
    if config.calibration_table is not None:
        profile = _calibration_profile(builder, config)
        implicit.use_table(library, native, profile, config.calibration_table)
    if config.timing_cache is not None and not library.builds_ahead:
        timing_cache.attach(library, native, config.timing_cache)
    native.progress_monitor = new_monitor(api, progress)
    if progress.cancelled:  # while it parsed: the builder asks only after its first steps
        raise BuildError("The build was cancelled.")
    plan = builder.build_serialized_network(network, native)
    if progress.failure is not None:
        raise progress.failure
    if plan is None:
        raise _failure(f"{library.title} could not build {config.spec.name}", said)
    if config.timing_cache is not None and not library.builds_ahead:
        timing_cache.save(library, native, config.timing_cache)
    return bytes(memoryview(plan))


def _network_flags(library: Library, config: BuildConfig) -> int:
    """Types come from the network, except where TensorRT 10 is to choose them itself.

    TensorRT 11 and RTX always do so and ignore the flag; its number differs, so it is never written.
    """
    if config.calibration_table is not None:
        return 0
    flag = library.trt.NetworkDefinitionCreationFlag
    return 1 << int(flag.STRONGLY_TYPED) if hasattr(flag, "STRONGLY_TYPED") else 0


def _calibration_profile(builder: trt.Builder, config: BuildConfig) -> trt.IOptimizationProfile:
    profile = builder.create_optimization_profile()
    width, height = config.spec.input_wh
    shape = (config.profiles[-1].best, 3, height, width)
    profile.set_shape(config.spec.input_name, shape, shape, shape)
    return profile


def _parse(library: Library, network: trt.INetworkDefinition, model: onnx.ModelProto, name: str) -> None:
    api = library.trt
    parser: trt.OnnxParser = api.OnnxParser(network, library.logger)
    if parser.parse(model.SerializeToString()):
        return
    problems = []
    for i in range(parser.num_errors):
        error: trt.ParserError = parser.get_error(i)
        node = f"{error.node_operator()} node {error.node_name()!r}: " if error.node_name() else ""
        problems.append(f"  {node}{_readable(error.desc(), error.code().name)}")
    raise BuildError(
        "\n".join([f"{library.title} cannot take {len(problems)} part(s) of {name}:", *problems]),
        hint="Export the weights again with yolotrt export; it writes only operators that TensorRT knows.",
    )


def _readable(description: str, code: str) -> str:
    """Return a parser error in words: of some, TensorRT gives only the condition that did not hold."""
    if description == "false" or code == "UNSUPPORTED_NODE":
        return f"this operator is not supported ({code})"
    if "Plugin not found" in description:
        return "this operator is unknown, and there is no plugin of this name"
    return " ".join(description.split())


def _failure(what: str, said: Said) -> BuildError:
    everything = "\n".join(said.errors)
    hint = next((h for p, h in _HINTS if re.search(p, everything, re.I)), "See all of it with: --log FILE")
    return BuildError(f"{what}: {said.first_error()}", hint=hint)


def _layers(library: Library, data: bytes, gpu: FoundGpu | None, said: Said) -> tuple[Layer, ...]:
    """Return what became of the network: by the inspector where the engine can be loaded."""
    if said.layers:
        return from_report(said.layers)
    if gpu is None:
        return ()
    from yolotrt.backends.tensorrt.inspector import inspect_plan

    return inspect_plan(library, gpu, data)


def interruptible(work: Callable[[], T], cancel: Callable[[], None]) -> T:
    """Run ``work`` in a thread, so that Ctrl-C is noticed although foreign code runs.

    Python acts on a signal only between its own instructions, and TensorRT gives it none for minutes.
    On the first Ctrl-C ``cancel`` is called and the work's own end awaited; a second one ends the process.

    Raises:
        KeyboardInterrupt: After the work has ended.
    """
    results: list[T] = []
    failures: list[BaseException] = []
    # Not Thread.join: until Python 3.13, one that a signal interrupts takes the thread for ended.
    ended, stopped = threading.Event(), threading.Event()

    def run() -> None:
        try:
            if not stopped.is_set():
                results.append(work())
        except BaseException as exc:
            failures.append(exc)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="yolotrt-build", daemon=True)
    try:
        thread.start()  # inside: the work may already run before this returns
        while not ended.wait(0.1):
            pass
    except KeyboardInterrupt:
        stopped.set()
        if thread.ident is not None:
            _cancel_or_leave(cancel, ended)
        raise
    if failures:
        raise failures[0]
    return results[0]


def _cancel_or_leave(cancel: Callable[[], None], ended: threading.Event) -> None:
    """Cancel foreign code and wait for its end; a second Ctrl-C leaves at once.

    Python's own way out would end the thread inside that code, which aborts with a core dump.
    """
    try:
        cancel()
        ended.wait()
    except KeyboardInterrupt:
        os._exit(EXIT_INTERRUPTED)
