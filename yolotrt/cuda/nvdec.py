"""NVIDIA's video decoder (NVDEC), through PyNvVideoCodec: packets in, frames in device memory out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from yolotrt.cuda.device import Device
from yolotrt.cuda.frame_pool import FramePool
from yolotrt.data.colours import Colours
from yolotrt.data.packets import DamagedPacket, GpuFrame
from yolotrt.data.pixels import has_full_range
from yolotrt.data.shown import ShownTimes
from yolotrt.data.siting import chroma_site
from yolotrt.distribution import install_hint
from yolotrt.errors import EnvironmentFault, MissingDependency

if TYPE_CHECKING:
    from av.bitstream import BitStreamFilterContext
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

CODECS = {"h264": "H264", "hevc": "HEVC", "av1": "AV1", "vp9": "VP9"}
"""PyNvVideoCodec's names by FFmpeg's."""

FILTERS = {"h264": "h264_mp4toannexb", "hevc": "hevc_mp4toannexb"}
"""What brings packets of MP4 and Matroska into the form that NVDEC takes, by codec."""

_DEPTHS = {"yuv420p": 8, "yuvj420p": 8, "nv12": 8, "yuv420p10le": 10, "p010le": 10}
"""Bits of a sample by the formats that are decoded here."""

_WHOLE = 1
"""FFmpeg's AV_FIELD_PROGRESSIVE; 0 is unknown, what is above is interlaced."""


def may_decode(stream: VideoStream) -> bool:
    """Whether NVDEC decodes a stream on some GPU, as far as that shows before its first frame."""
    context = stream.codec_context
    even = context.width % 2 == context.height % 2 == 0
    order = getattr(context, "field_order", 0)  # PyAV 15 does not tell
    return context.name in CODECS and context.pix_fmt in _DEPTHS and even and order <= _WHOLE


def library() -> Any:
    """Return PyNvVideoCodec.

    Raises:
        MissingDependency: It is not installed.
        EnvironmentFault: It is, and cannot be loaded: mostly, the driver's video libraries are not there.
    """
    try:
        import PyNvVideoCodec
    except ImportError as exc:
        raise MissingDependency(
            f"NVDEC needs the package PyNvVideoCodec ({exc}).", hint=install_hint("video-gpu")
        ) from exc
    except Exception as exc:  # a RuntimeError with a page of advice
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise EnvironmentFault(
            f"PyNvVideoCodec cannot be loaded ({reason}).",
            hint="It needs libnvcuvid and libnvidia-encode of the driver; in containers: "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video",
        ) from exc
    return PyNvVideoCodec


def decoders_of(device: Device, codec: str) -> int:
    """Return how many decoders of a codec, by FFmpeg's name, a GPU has; 0 if that is not told."""
    nvc = library()
    try:
        caps = nvc.GetDecoderCaps(
            gpuid=device.info.index, codec=getattr(nvc.cudaVideoCodec, CODECS[codec]), bitdepth=8
        )
    except Exception:  # whatever its C++ raises
        return 0
    return int(caps.get("num_decoder_engines") or 0)


class Nvdec:
    """Decodes one stream; see :class:`yolotrt.data.packets.GpuDecoder`.

    Args:
        device: The GPU; frames stay there.
        live: The stream is live: no frame waits for packets behind it.
    """

    def __init__(self, device: Device, *, live: bool) -> None:
        self._device, self._live = device, live
        self._library = library()
        self._decoder: Any = None
        self._filter: BitStreamFilterContext | None = None
        self._pool: FramePool | None = None
        self._colours: Colours | None = None
        self._times = ShownTimes()
        self._head = b""
        self._sent = 0
        device.bind()
        self._scope = device.scope()
        self._stream = self._scope.stream()

    def start(self, stream: VideoStream, first: VideoFrame) -> str | None:
        """Begin; see :meth:`yolotrt.data.packets.GpuDecoder.start`."""
        from av.bitstream import BitStreamFilterContext

        codec, pixels = stream.codec_context.name, first.format.name
        why = self._unsuitable(codec, pixels, first)
        if why is not None:
            return why
        bits = _DEPTHS[pixels]
        self._colours = Colours.tagged(
            int(first.colorspace), first.height, full=has_full_range(first), bits=bits,
            site=chroma_site(stream),
        )  # fmt: skip
        if codec in FILTERS:
            self._filter = BitStreamFilterContext(FILTERS[codec], stream)
        self._head = bytes(stream.codec_context.extradata or b"")
        nvc = self._library
        latency = nvc.DisplayDecodeLatencyType
        try:
            self._decoder = nvc.CreateDecoder(
                gpuid=self._device.info.index,
                codec=getattr(nvc.cudaVideoCodec, CODECS[codec]),
                cudacontext=0,  # the primary one, which is ours, too
                cudastream=self._stream.handle,
                usedevicememory=True,
                latency=latency.LOW if self._live else latency.NATIVE,
            )
        except Exception as exc:  # whatever its C++ raises
            return _said(exc)
        return None

    def decode(self, packet: Packet[VideoStream] | None) -> Iterator[GpuFrame]:
        """Give the frames that are complete with a packet; see :class:`yolotrt.data.packets.GpuDecoder`."""
        last = packet is None or not packet.size  # a container ends with a packet without data
        given = None if last else packet
        for part in [given] if self._filter is None else self._filter.filter(given):
            if part is not None:
                yield from self._frames(part)
        if last:
            if self._filter is not None:
                self._filter.flush()  # it may go on with another group of pictures
            yield from self._frames(None)

    def close(self) -> None:
        """Let the decoder go. Frames that somebody holds stay."""
        self._device.bind()
        self._decoder = None
        if self._pool is not None:
            self._pool.close()
        self._scope.close()

    def _unsuitable(self, codec: str, pixels: str, first: VideoFrame) -> str | None:
        if codec not in CODECS:
            return f"it is {codec}, not {', '.join(CODECS)}"
        if pixels not in _DEPTHS:
            return f"its pixels are {pixels}, not 4:2:0 of 8 or 10 bits"
        if first.rotation or first.side_data.get("DISPLAYMATRIX") is not None:
            return "it is to be turned"
        if first.interlaced_frame:
            return "it is interlaced"
        if first.width % 2 or first.height % 2:
            return f"{first.width}x{first.height} has an odd side"
        nvc = self._library
        try:
            caps = nvc.GetDecoderCaps(
                gpuid=self._device.info.index,
                codec=getattr(nvc.cudaVideoCodec, CODECS[codec]),
                bitdepth=_DEPTHS[pixels],
            )
        except Exception as exc:  # whatever its C++ raises
            return _said(exc)
        name = f"{self._device.name} has no decoder for {codec} of {_DEPTHS[pixels]} bits"
        if not caps.get("num_decoder_engines"):
            return name
        fits = caps["width_min"] <= first.width <= caps["width_max"]
        fits = fits and caps["height_min"] <= first.height <= caps["height_max"]
        return None if fits else f"{name} at {first.width}x{first.height}"

    def _frames(self, packet: Packet[VideoStream] | None) -> Iterator[GpuFrame]:
        """Send a packet, and copy each frame that comes out before the decoder uses its memory again."""
        nvc = self._library
        data = b"" if packet is None else bytes(packet)
        if packet is not None:
            if not self._sent and self._head[:3] in (b"\0\0\0", b"\0\0\1"):
                data = self._head + data  # a camera may tell its parameters beside the stream only
            self._sent = self._times.send(packet)
        sent = nvc.PacketData()
        buffer = bytearray(data + bytes(64))  # readers look beyond the end
        sent.bsl, sent.pts = len(data), self._sent
        sent.bsl_data = _address(buffer) if data else 0
        if packet is not None and self._live:
            sent.decode_flag = nvc.VideoPacketFlag.ENDOFPICTURE
        self._device.bind()
        try:
            found = self._decoder.Decode(sent)
        except Exception as exc:  # whatever its C++ raises
            raise DamagedPacket(_said(exc)) from exc
        copied = [self._copied(frame) for frame in found]
        if copied:
            self._stream.synchronize()  # then the decoder may go on, and any stream may read the copies
        yield from copied

    def _copied(self, frame: Any) -> GpuFrame:
        assert self._colours is not None, "started"
        height, width = int(frame.shape[0]) * 2 // 3, int(frame.shape[1])
        if self._pool is None or self._pool.wh != (width, height):
            if self._pool is not None:
                self._pool.close()
            self._pool = FramePool(self._device, (width, height), self._colours)
        image = self._pool.take()
        self._stream.copy(image.address, frame.GetPtrToPlane(0), self._pool.nbytes)
        return GpuFrame(image, *self._times.show(int(frame.timestamp)))


def _address(buffer: bytearray) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(buffer))


def _said(exc: Exception) -> str:
    lines = [line for line in str(exc).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(exc).__name__
