"""What kernels that read a frame are told of it."""

from __future__ import annotations

from yolotrt.backends.base import FrameSource, TilesOf, YuvOnDevice
from yolotrt.backends.fused.arguments import Space


def kind_of(source: FrameSource) -> str:
    """Return which of the first convolutions reads a source."""
    yuv = isinstance(source.frame, YuvOnDevice)
    if isinstance(source, TilesOf):
        return "tiles_yuv" if yuv else "tiles"
    return "letterbox_yuv" if yuv else "letterbox"


def given_by(source: FrameSource | None, spaces: dict[Space, int]) -> dict[str, int]:
    """Return what a source says of its frame, and add the memory that it names."""
    if source is None:
        return {}
    frame = source.frame
    spaces["frame"] = frame.address
    if isinstance(source, TilesOf):
        spaces["origins"] = source.origins
    else:
        spaces |= {"across": source.across, "down": source.down}
        spaces |= {"across_chroma": source.across_chroma, "down_chroma": source.down_chroma}
    size = {"frame_width": frame.width, "frame_height": frame.height}
    if isinstance(frame, YuvOnDevice):
        spaces["colours"] = frame.colours
        return size | {"frame_wide": int(frame.wide), "site_x": frame.site[0], "site_y": frame.site[1]}
    return size | {"frame_bgr": int(frame.bgr)}
