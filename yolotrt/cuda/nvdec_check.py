"""Whether NVDEC works here: a few frames that were encoded just now are decoded."""

from __future__ import annotations

import io

from yolotrt.cuda.device import Device
from yolotrt.cuda.machine import HERE
from yolotrt.cuda.nvdec import CODECS, Nvdec, library
from yolotrt.data.packets import DamagedPacket, OnGpu, PacketDecoder
from yolotrt.data.yuv import YuvFrame
from yolotrt.errors import YoloTrtError

_SIDE, _FRAMES = 256, 4
"""Large enough for every decoder."""


def nvdec_state() -> tuple[bool, str]:
    """Return whether NVDEC works here, and what it can do or why not."""
    try:
        nvc = library()
        device = HERE.gpu()
        why = _tried(device)
    except YoloTrtError as exc:
        return False, exc.message
    if why is not None:
        return False, why
    found = []
    for name, theirs in CODECS.items():
        for bits in (8, 10):
            try:
                caps = nvc.GetDecoderCaps(codec=getattr(nvc.cudaVideoCodec, theirs), bitdepth=bits)
            except Exception:  # whatever its C++ raises of what it does not know
                continue
            if caps.get("num_decoder_engines"):
                found.append(name if bits == 8 else f"{name} 10 bit")
    return True, f"files and streams on {device.name}: {', '.join(found)} (PyNvVideoCodec {nvc.__version__})"


def _tried(device: Device) -> str | None:
    """Decode a small video; return why that does not work."""
    import av

    clip = _clip()
    if clip is None:
        return "this FFmpeg encodes no H.264 to try it with"
    told: list[str] = []
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        decode = PacketDecoder(stream, "the clip", OnGpu(lambda: Nvdec(device, live=False), note=told.append))
        try:
            found = [decode.picture(f) for packet in container.demux(stream) for f in decode(packet)]
        except DamagedPacket as exc:
            return str(exc)
        finally:
            decode.close()
    if told:
        return told[0]
    count = sum(isinstance(frame, YuvFrame) for frame in found)
    return None if count == _FRAMES else f"of {_FRAMES} frames it decoded {count}"


def _clip() -> bytes | None:
    """Return a few grey frames in H.264; None where this FFmpeg cannot encode that."""
    import av
    import numpy as np

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as sink:
        try:
            stream = sink.add_stream("libx264", 25)
        except ValueError:  # what PyAV's UnknownCodecError is
            return None
        stream.width = stream.height = _SIDE
        stream.pix_fmt = "yuv420p"
        grey = np.full((_SIDE * 3 // 2, _SIDE), 128, np.uint8)
        for _ in range(_FRAMES):
            sink.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="yuv420p")))
        sink.mux(stream.encode(None))
    return target.getvalue()
