"""Frames as applications hand them over, perhaps on a GPU, and what comes out of one."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import I64, Bits, Frame
from yolotrt.data.yuv import YuvFrame
from yolotrt.errors import DeviceError, ImageError
from yolotrt.geometry.detections import Detections
from yolotrt.timing.trace import FrameTrace

if TYPE_CHECKING:
    from yolotrt.pipeline.tile_use import FrameTiles


class Unmerged(Protocol):
    """What was found before merging."""

    @property
    def tiles(self) -> Sequence[Detections]:
        """What each tile found, in px of the frame; empty without tiles."""
        ...

    @property
    def global_pass(self) -> Detections | None:
        """What the global pass found, in px of the frame, if there was one."""
        ...


@dataclass(frozen=True)
class Passes:
    """What was found before merging, where that is at hand already; see :class:`Unmerged`."""

    tiles: Sequence[Detections] = ()
    global_pass: Detections | None = None


@dataclass(frozen=True)
class FrameResult:
    """What came out of one frame.

    Attributes:
        detections: In px of the frame.
        trace: Where the time went.
        seen: What was found before merging.
        frame_wh: Width and height of the frame, px.
        names: Class names by index.
        looked: Which tiles were looked at, and what was carried; None where all were.
        ids: (n,) number of each detection, which its object keeps from frame to frame, or -1 for one that has
            none yet; None without tracking.
    """

    detections: Detections
    trace: FrameTrace
    seen: Unmerged
    frame_wh: tuple[int, int]
    names: Sequence[str]
    looked: FrameTiles | None = None
    ids: I64 | None = None

    @property
    def seconds(self) -> float:
        """How long the frame took, from being handed over to its last detection."""
        taken = self.trace.seconds("end_to_end")
        assert taken is not None, "every pipeline measures it"
        return taken

    @property
    def tiles(self) -> Sequence[Detections]:
        """What each tile found before merging, in px of the frame; empty without tiles."""
        return self.seen.tiles

    @property
    def global_pass(self) -> Detections | None:
        """What the global pass found, if there was one."""
        return self.seen.global_pass

    def masks_array(self) -> Bits:
        """Return the masks as (n, h, w) booleans; see :func:`yolotrt.pipeline.adapters.masks_array`."""
        from yolotrt.pipeline import adapters  # most applications need none of them

        return adapters.masks_array(self.detections, self.frame_wh)

    def to_coco(self, image_id: int | str = 1) -> list[dict[str, Any]]:
        """Return records of COCO's results format, as ``COCO.loadRes`` takes them.

        Category ids are COCO's if all classes are COCO's, and else count from 1 in the network's order.
        """
        from yolotrt.data.coco.names import category_ids
        from yolotrt.pipeline import adapters

        found = adapters.coco_objects(self.detections, self.frame_wh, category_ids(self.names), self.names)
        return [{"image_id": image_id, **record} for record, _area in found]

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections``.

        Raises:
            MissingDependency: supervision is not installed.
        """
        from yolotrt.pipeline import adapters

        return adapters.to_supervision(self.detections, self.frame_wh, self.names)

    def to_dataframe(self) -> Any:
        """Return a ``pandas.DataFrame``, one row an object.

        Raises:
            MissingDependency: pandas is not installed.
        """
        from yolotrt.pipeline import adapters

        return adapters.to_dataframe(self.detections, self.names)


_HOST_DEVICES = (1, 3)
"""DLPack device types whose memory the host can read: kDLCPU and kDLCUDAHost (dlpack.h)."""


def as_frame(frame: Any) -> Frame:
    """Return a frame as a NumPy array; without copying if it is in host memory.

    Args:
        frame: (h, w, 3) uint8, BGR: NumPy, ``__dlpack__`` or ``__cuda_array_interface__``.

    Raises:
        ImageError: It is no such array, or of another shape or type.
        DeviceError: It lives on a GPU that cannot be read.
    """
    array = _on_host(frame)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8 or not array.size:
        raise ImageError(
            f"A frame must be (height, width, 3) uint8 BGR, not {array.shape} {array.dtype}.",
            hint="Grey or alpha: cv2.cvtColor(frame, ...). Floats: (frame * 255).astype('uint8').",
        )
    return array


def _on_host(frame: Any) -> npt.NDArray[Any]:
    if isinstance(frame, np.ndarray):
        return frame
    if isinstance(frame, YuvFrame):
        return frame.bgr
    if (interface := getattr(frame, "__cuda_array_interface__", None)) is not None:
        return _copy_from_gpu(interface)
    if hasattr(frame, "__dlpack__"):
        kind = int(frame.__dlpack_device__()[0])
        if kind in _HOST_DEVICES:
            return np.from_dlpack(frame)
        raise DeviceError(
            f"The frame lives on a device (DLPack type {kind}) that cannot be read from here.",
            hint="Hand over an array with __cuda_array_interface__, or copy it to the host first.",
        )
    raise ImageError(
        f"A {type(frame).__name__} is not a frame.",
        hint="Hand over a NumPy array, or one with __dlpack__ or __cuda_array_interface__.",
    )


def _copy_from_gpu(interface: dict[str, Any]) -> npt.NDArray[Any]:
    """Copy an array described by the CUDA Array Interface (version 3, Numba's documentation) to the host."""
    shape = tuple(int(n) for n in interface["shape"])
    dtype = np.dtype(interface["typestr"])
    strides = interface.get("strides")
    contiguous = np.empty(shape, dtype)
    if strides is not None and tuple(strides) != contiguous.strides:
        raise ImageError(
            "A frame on the GPU must be contiguous.", hint="For example: tensor.contiguous(), or .copy()."
        )
    if contiguous.size:
        _driver_copy(contiguous, int(interface["data"][0]), interface.get("stream"))
    return contiguous


def _driver_copy(target: npt.NDArray[Any], pointer: int, stream: int | None) -> None:
    """Copy from device memory through the driver, in the context that the memory belongs to."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as exc:
        raise DeviceError("The frame is on a GPU, but there is no NVIDIA driver here.") from exc

    def call(name: str, *arguments: Any) -> None:
        if code := getattr(cuda, name)(*arguments):
            raise DeviceError(f"The frame cannot be copied from the GPU ({name}: CUDA error {code}).")

    address, context = ctypes.c_uint64(pointer), ctypes.c_void_p()
    owner_attribute = 1  # CU_POINTER_ATTRIBUTE_CONTEXT
    call("cuInit", 0)
    call("cuPointerGetAttribute", ctypes.byref(context), owner_attribute, address)
    call("cuCtxPushCurrent_v2", context)
    try:
        if stream is not None:  # whoever writes the frame must have finished
            call("cuStreamSynchronize", ctypes.c_void_p(stream))
        call(
            "cuMemcpyDtoH_v2", target.ctypes.data_as(ctypes.c_void_p), address, ctypes.c_size_t(target.nbytes)
        )
    finally:
        cuda.cuCtxPopCurrent_v2(ctypes.byref(context))
