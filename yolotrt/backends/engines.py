"""Loaded engines and their execution contexts, as every backend offers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from yolotrt.backends.files import EngineFile

if TYPE_CHECKING:
    from yolotrt.cuda.device import Device
    from yolotrt.cuda.tensor import TensorType


class Context(Protocol):
    """Runs batches of one size. Used by one thread at a time.

    Attributes:
        batch: Number of images in a batch.
        images: (batch, 3, height, width) float32 input, RGB in [0, 1], to be filled before each run.
            Contexts of one lane share this memory.
    """

    batch: int

    @property
    def takes_host_images(self) -> bool:
        """Whether :attr:`images` can be filled; engines of other tools may take FP16, on the GPU only."""
        ...

    @property
    def images(self) -> npt.NDArray[np.float32]:
        """The input buffer; fill it, then call :meth:`run`."""
        ...

    def run(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run the batch in :attr:`images` and wait for it.

        Returns:
            Detection head and prototypes, float32. The next run on the same lane overwrites them.

        Raises:
            ExecutionError: The engine failed.
        """
        ...


@dataclass(frozen=True)
class FrameOnDevice:
    """A frame in a GPU's memory.

    Attributes:
        address: Of (height, width, 3) uint8, rows without gaps; 16 bytes behind it may be read.
        width: Pixels.
        height: Pixels.
        bgr: The channels are BGR; RGB otherwise.
    """

    address: int
    width: int
    height: int
    bgr: bool


@dataclass(frozen=True)
class YuvOnDevice:
    """A frame as decoders give it in a GPU's memory.

    Attributes:
        address: Of (height, width) brightness, and behind it (height / 2, width / 2, 2) colour samples, U
            first, without gaps.
        width: Pixels; even.
        height: Pixels; even.
        wide: Samples have 16 bits, of which the upper ones hold the value (P010); 8 otherwise (NV12).
        site: Where a colour sample lies, in half pixels right of and below the upper left one of its four.
        colours: Device address of what :meth:`yolotrt.data.colours.Colours.table` gives.
    """

    address: int
    width: int
    height: int
    wide: bool
    site: tuple[int, int]
    colours: int


@dataclass(frozen=True)
class TilesOf:
    """Tiles of a frame as a context's images, in the frame's resolution.

    Attributes:
        frame: The frame.
        origins: Device address of (batch, 2) int32: x and y of each tile's corner, inside the frame. What
            lies right of or below the frame is grey, :data:`yolotrt.geometry.letterbox.PADDING`.
    """

    frame: FrameOnDevice | YuvOnDevice
    origins: int


@dataclass(frozen=True)
class LetterboxOf:
    """A frame, scaled bilinearly and padded, as each of a context's images.

    Attributes:
        frame: The frame.
        across: Device address of (input width, 4) int32: the two columns of the frame that a column is made
            of, and their weights in 1/2048; the first is -1 where the column is padding.
        down: Device address of (input height, 4) int32: likewise for rows.
        across_chroma: Likewise for the columns of colour samples, if the frame has some.
        down_chroma: And for their rows.
    """

    frame: FrameOnDevice | YuvOnDevice
    across: int
    down: int
    across_chroma: int = 0
    down_chroma: int = 0


FrameSource = TilesOf | LetterboxOf


class DeviceContext(Context, Protocol):
    """A context whose buffers are on a GPU and may be given by the caller.

    Attributes:
        tensors: Type of the input and of each output, by name.
        input_pointer: Device address of (batch, 3, height, width) values of the engine's input type.
        output_pointers: Device addresses by output name. Setting either takes effect at the next enqueue.
    """

    tensors: Mapping[str, TensorType]
    input_pointer: int
    output_pointers: Mapping[str, int]

    def enqueue(self, stream_handle: int) -> None:
        """Start the batch on a CUDA stream and return at once.

        Args:
            stream_handle: The ``cudaStream_t`` as a number; never the default stream.

        Raises:
            ExecutionError: The engine refused the work.
        """
        ...

    def close(self) -> None:
        """Free what belongs to the context; the memory it was bound to stays. Once is enough."""
        ...


class FrameReader(Protocol):
    """What contexts of an engine that reads frames are besides.

    Attributes:
        source: Where the images lie in a frame, read instead of the input. Takes effect at the next enqueue.
    """

    source: FrameSource | None

    def begin(self, stream_handle: int, images: range) -> None:
        """Start what can be done for some images before the others are there, and return at once.

        Args:
            stream_handle: As for :meth:`DeviceContext.enqueue`.
            images: Which; those of all calls together are the whole batch, each once.
        """
        ...

    def resume(self, stream_handle: int) -> None:
        """Start what is left, behind :meth:`begin` for all images."""
        ...


class DeviceEngine(Protocol):
    """An engine on one GPU, whose contexts run on buffers that the caller owns.

    Attributes:
        file: The engine on disk.
        device: The GPU.
    """

    file: EngineFile
    device: Device

    @property
    def reads_frames(self) -> bool:
        """Whether its contexts are :class:`FrameReader`, so that nobody has to prepare their input."""
        ...

    @property
    def reads_yuv(self) -> bool:
        """Whether they also read frames as decoders give them (:class:`YuvOnDevice`)."""
        ...

    @property
    def capturable(self) -> bool:
        """Whether contexts may be captured in a CUDA graph after they have run once; asking can cost."""
        ...

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> DeviceContext:
        """Return a context for batches of exactly this size; see :meth:`Engine.new_context`."""
        ...


class Engine(Protocol):
    """A loaded engine, shared by all its contexts.

    Attributes:
        file: The engine on disk.
    """

    file: EngineFile

    @property
    def parts(self) -> Sequence[DeviceEngine]:
        """The engine on each GPU that it is on; none if it is fed from the host."""
        ...

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> Context:
        """Return an execution context for batches of exactly ``batch`` images.

        Args:
            batch: Number of images.
            lane: Contexts of the same lane never run at the same time, so they share their memory;
                contexts of different lanes may run concurrently.
            threads: CPU threads that one run may use; a backend that computes elsewhere ignores it.

        Raises:
            ArtifactError: The engine has no optimization profile for this batch size.
        """
        ...

    def close(self) -> None:
        """Free everything the engine holds; its contexts must not be used afterwards."""
        ...


class LoadedOnDevice(Engine, DeviceEngine, Protocol):
    """An engine on one GPU that wants closing: what :meth:`yolotrt.backends.base.Backend.load_on` gives."""

    def new_context(self, batch: int, *, lane: int = 0, threads: int = 1) -> DeviceContext:
        """Return a context; see :meth:`Engine.new_context`."""
        ...
