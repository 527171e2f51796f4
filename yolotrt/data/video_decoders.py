"""The decoders of videos: which there are, what each opens, and whether it works here."""

from __future__ import annotations

from typing import Literal

Decoder = Literal["auto", "nvdec", "pyav", "opencv"]
DECODERS: tuple[Decoder, ...] = ("auto", "nvdec", "pyav", "opencv")
"""``auto`` takes NVDEC for files and streams where frames are processed on a GPU that can decode them, PyAV
for all others and for pipes, and OpenCV for cameras of this machine."""

CODECS = ("h264", "hevc", "av1", "vp9", "mjpeg", "mpeg4")
"""What cameras and files mostly have."""


def decoder_states() -> dict[str, tuple[bool, str]]:
    """Return for each decoder whether it works here, and what it can do or why not."""
    return {"pyav": _pyav(), "opencv": _opencv()}


def _pyav() -> tuple[bool, str]:
    """Decode a picture that was encoded just now, and list the codecs."""
    try:
        import av
        import numpy as np

        encoder = av.CodecContext.create("mjpeg", "w")
        assert isinstance(encoder, av.VideoCodecContext)
        encoder.width, encoder.height, encoder.pix_fmt = 32, 32, "yuvj420p"
        grey = av.VideoFrame.from_ndarray(np.full((48, 32), 128, np.uint8), format="yuvj420p")
        packets = [*encoder.encode(grey), *encoder.encode(None)]
        decoder = av.CodecContext.create("mjpeg", "r")
        assert isinstance(decoder, av.VideoCodecContext)
        frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    except (ImportError, OSError, ValueError) as exc:  # av.FFmpegError is a ValueError or an OSError
        return False, f"{type(exc).__name__}: {exc}"
    if not frames:
        return False, "it gives no frame back"
    known = ", ".join(name for name in CODECS if name in av.codecs_available)
    return True, f"files, streams, pipes: {known} (PyAV {av.__version__})"


def _opencv() -> tuple[bool, str]:
    try:
        import cv2
    except ImportError as exc:
        return False, str(exc)
    registry = cv2.videoio_registry
    cameras = cv2.CAP_V4L2 in registry.getCameraBackends()
    streams = cv2.CAP_FFMPEG in registry.getStreamBackends()
    if not cameras and not streams:
        return False, f"OpenCV {cv2.__version__} was built without Video4Linux and FFmpeg"
    can = [what for what, there in (("cameras (Video4Linux)", cameras), ("streams", streams)) if there]
    return True, f"{', '.join(can)} (OpenCV {cv2.__version__})"
