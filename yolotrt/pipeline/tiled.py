"""One frame in, detections and a trace out: the object that an application holds."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from yolotrt.arrays import Frame as Frame
from yolotrt.backends.base import Engine
from yolotrt.backends.loading import open_engine
from yolotrt.errors import UsageError
from yolotrt.pipeline.flights import InTurn, Pending, in_order
from yolotrt.pipeline.frames import FrameResult as FrameResult
from yolotrt.pipeline.host import HostPipeline
from yolotrt.pipeline.on_gpus import gpus_of
from yolotrt.pipeline.settings import PASS_MODES as PASS_MODES
from yolotrt.pipeline.settings import PassMode as PassMode
from yolotrt.pipeline.settings import PipelineSettings as PipelineSettings
from yolotrt.pipeline.tracking import Tracking
from yolotrt.pipeline.wanted import resolved
from yolotrt.timing.clock import Clock, now

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of the type checker; Python has it from 3.11 on

    from yolotrt.cuda.device import Device
    from yolotrt.pipeline.adaptive import AdaptivePipeline
    from yolotrt.pipeline.device.pipeline import DevicePipeline
    from yolotrt.pipeline.runners import Runner
    from yolotrt.pipeline.settings import PipelineKeywords


class TiledPipeline:
    """Runs frames of any size through one engine, or through one for the tiles and one for the frame.

    The tile size is the engine's input size. Engines on a GPU keep the frame there: it is uploaded once,
    and only detections and their masks come back. What depends on the frame's size is made when a size is
    first seen and kept: for the last few sizes on a processor, for the last one on a GPU.

    Threads: any number of threads may call one pipeline; their frames take turns, because one frame
    already uses everything that the settings allow (its groups run side by side). Two pipelines may run
    at the same time if each has its own engine, as :meth:`open` gives; those that share an engine also
    share its buffers and must take turns.

    Args:
        engine: Runs the tiles, and the global pass unless ``global_engine`` does.
        settings: How a frame is cut, run and decoded.
        global_engine: Runs the global pass instead; on the same devices.
        clock: What the traces of a processor's frames read.
        takes_turns: No other pipeline runs while this one does, though others use the engine too: they
            all share contexts, so that a sweep over many settings need not make each anew.

    Raises:
        UsageError: The dispatch mode needs a GPU, or the engines are on different devices.
    """

    def __init__(
        self,
        engine: Engine,
        settings: PipelineSettings | None = None,
        *,
        global_engine: Engine | None = None,
        clock: Clock = now,
        takes_turns: bool = False,
    ) -> None:
        self._engine = engine
        self._turn, self._closed = threading.Lock(), False
        self._owned: list[Engine] = []
        settings = resolved(settings or PipelineSettings(), engine.file.spec.names)
        gpus = gpus_of(engine, global_engine)
        self._depth = settings.depth if gpus else 1
        self._on_gpus: DevicePipeline | None = None
        self._tracking = Tracking() if settings.track else None
        self._adaptive: AdaptivePipeline | None = None

        def plain(settings: PipelineSettings, *, takes_turns: bool) -> HostPipeline | DevicePipeline:
            if not gpus or settings.decode.multi_label:  # boxes with several classes: on the host only
                return HostPipeline(engine, settings, global_engine=global_engine, clock=clock)
            from yolotrt.pipeline.device.pipeline import DevicePipeline

            shares = [gpu.taking_turns() for gpu in gpus] if takes_turns else gpus
            return DevicePipeline(shares, settings)

        self._runner: Runner
        if settings.tiles.adaptive is None:
            self._runner = plain(settings, takes_turns=takes_turns)
            self._on_gpus = None if isinstance(self._runner, HostPipeline) else self._runner
        else:  # its pipelines take turns among themselves
            from yolotrt.pipeline.adaptive import AdaptivePipeline
            from yolotrt.pipeline.runners import cameras_on

            self._runner = self._adaptive = AdaptivePipeline(
                lambda settings: plain(settings, takes_turns=True),
                engine.file,
                settings,
                on_gpu=bool(gpus),
                camera=cameras_on(gpus, settings),
                clock=clock,
            )

    @classmethod
    def open(
        cls,
        engine: str | Path,
        *,
        global_engine: str | Path | None = None,
        device: str = "auto",
        trust: bool = False,
        warn: Callable[[str], None] = lambda _: None,
        **settings: Unpack[PipelineKeywords],
    ) -> TiledPipeline:
        """Load engines from their files into a pipeline that owns them.

        Args:
            engine: Engine file, as ``yolotrt build`` prints it.
            global_engine: Another engine for the global pass.
            device: ``auto``, ``cpu``, ``cuda:0``, or several GPUs as ``cuda:0,1``; see
                :func:`yolotrt.backends.placement.place`.
            trust: Also load engines that no matching sidecar vouches for. They can run any code: see
                :mod:`yolotrt.backends.admission`.
            warn: Told when that was needed.
            settings: Fields of :class:`PipelineSettings`, such as ``groups=4``.

        Raises:
            InputError: A file is missing.
            ArtifactError: No sidecar vouches for an engine, or it does not fit this machine.
            UsageError: An engine cannot run on this device.
            EnvironmentFault: The device does not work here.
        """
        chosen = PipelineSettings(**settings)
        owned: list[Engine] = []
        try:
            for path in (engine, global_engine):
                if path is not None:
                    owned.append(open_engine(Path(path), device, trust=trust, warn=warn))
            pipeline = cls(owned[0], chosen, global_engine=owned[-1])
        except BaseException:
            for loaded in owned:
                loaded.close()
            raise
        pipeline._owned = owned
        return pipeline

    def __call__(self, frame: Any, *, stream: Hashable = None) -> FrameResult:
        """Detect objects in a frame.

        Args:
            frame: (h, w, 3) uint8, BGR: a NumPy array, or an array of another library that speaks DLPack or
                ``__cuda_array_interface__`` (copied to the host if it lives on a GPU).
            stream: Which camera the frame is of, where several share the pipeline and tiles are chosen or
                objects tracked: any value that is the same for all its frames.

        Raises:
            ImageError: It is not a picture of this kind.
            ArtifactError: The engine has no profile for a group's size.
            ExecutionError: The engine failed.
        """
        with self._my_turn():
            return self._numbered(self._taken(frame, stream).result(), stream)

    def submit(self, frame: Any, *, stream: Hashable = None) -> Pending:
        """Start the work on a frame and return what waits for it; see :meth:`__call__`.

        Up to :attr:`depth` frames may be on their way; another one waits for the oldest of them. A processor
        begins when the result is asked for.
        """
        with self._my_turn():
            return InTurn(self._taken(frame, stream), self._turn, partial(self._numbered, stream=stream))

    @property
    def most_together(self) -> int:
        """Frames of several cameras that share a batch: on one GPU, with the global pass alone; else 1."""
        return 1 if self._on_gpus is None else self._on_gpus.most_together

    def together(self, frames: Sequence[tuple[Any, Hashable]]) -> list[FrameResult]:
        """Detect objects in frames of several cameras, in shared batches if that can be; see :meth:`submit`.

        Args:
            frames: Each with its stream.
        """
        with self._my_turn():
            if self._on_gpus is not None:
                found = self._on_gpus.together([frame for frame, _ in frames])
            else:
                found = [self._taken(frame, stream).result() for frame, stream in frames]
            return [self._numbered(result, stream) for result, (_, stream) in zip(found, frames, strict=True)]

    @property
    def depth(self) -> int:
        """Frames that may be on their way: 1 on a processor."""
        return self._depth

    @property
    def gpu(self) -> Device | None:
        """The GPU that frames are processed on; None on a processor, and with several GPUs."""
        parts = self._engine.parts if self._on_gpus is not None else ()
        return parts[0].device if len(parts) == 1 else None

    @property
    def wants_host_frames(self) -> str | None:
        """Why frames have to be on the host though GPUs process them; None if they need not."""
        if len(self._engine.parts) > 1:
            return "several GPUs share each frame"
        adaptive = self._adaptive is not None and self._engine.parts
        return "of frames with adaptive tiles only a part goes to the GPU" if adaptive else None

    def frames(self, frames: Iterable[Any]) -> Generator[FrameResult, None, None]:
        """Detect objects in many frames; results come in their order.

        With ``depth=2`` on a GPU a frame is uploaded while the one before it computes. Other threads, and
        this one, may use the pipeline meanwhile. A frame that cannot be processed raises its error after the
        results of all before it.
        """
        return in_order(self.submit, frames, self._depth)

    def prepare(self, frame_wh: tuple[int, int]) -> None:
        """Make contexts and buffers for frames of this size now rather than at the first frame."""
        with self._my_turn():
            self._runner.prepare(frame_wh)

    def frame_buffer(self, frame_wh: tuple[int, int], *, stream: Hashable = None) -> Frame:
        """Return (h, w, 3) uint8 memory from which the next frame of this size is uploaded without a copy.

        For a camera or decoder that can write where it is told. Valid until the frame is given to the
        pipeline; for one thread. On a processor it is ordinary memory.
        """
        with self._my_turn():
            if self._adaptive is not None:
                return self._adaptive.frame_buffer(frame_wh, stream)
            if self._on_gpus is not None:
                return self._on_gpus.frame_buffer(frame_wh)
            return np.empty((frame_wh[1], frame_wh[0], 3), np.uint8)

    @property
    def group_bytes(self) -> tuple[int, ...]:
        """Device memory that a group's context took, bytes, by GPU; none before the first frame."""
        workers = self._on_gpus.workers if self._on_gpus is not None else ()
        return tuple(worker.group_bytes for worker in workers)

    @property
    def pci_bus_ids(self) -> tuple[str, ...]:
        """Where the GPUs sit that it runs on; none on a processor."""
        return tuple(part.device.info.pci_bus_id for part in self._engine.parts)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names by index."""
        return self._engine.file.spec.names

    @property
    def input_wh(self) -> tuple[int, int]:
        """Width and height of a tile, px."""
        return self._engine.file.spec.input_wh

    def close(self) -> None:
        """Free what was made for the frames, and unload the engines that :meth:`open` loaded.

        An engine that was handed in stays loaded. Waits for a frame that is still running; of frames whose
        results were not taken yet nothing comes any more.
        """
        with self._turn:
            self._closed = True
            try:
                self._runner.close()
            finally:
                while self._owned:
                    self._owned.pop().close()

    def __enter__(self) -> TiledPipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _my_turn(self) -> Iterator[None]:
        with self._turn:
            if self._closed:
                raise UsageError("The pipeline is closed.", hint="Open another: TiledPipeline.open(...)")
            yield

    def _taken(self, frame: Any, stream: Hashable) -> Pending:
        if self._adaptive is not None:
            return self._adaptive.submit(frame, stream)
        return self._runner.submit(frame)

    def _numbered(self, result: FrameResult, stream: Hashable = None) -> FrameResult:
        return result if self._tracking is None else self._tracking.numbered(result, stream)
