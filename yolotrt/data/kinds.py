"""Picture or video? Told by content: endings are wrong often enough."""

from __future__ import annotations

from pathlib import Path

from yolotrt.artifacts.files import require_file

SCENE = "scene"
"""What names a synthetic source instead of a file; the version of yolotrt says what it shows."""

WAITING = 2
"""Frames of a moving source that wait to be processed, at most."""

HEAD = 4096

_PICTURES = (
    b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"GIF8",
    b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ", b"8BPS", b"v/1\x01", b"#?RADIANCE",
)  # fmt: skip
"""How files of pictures begin. Those that cannot be read are here, too: they are not videos."""

_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
"""Brands of ISO media files that hold pictures (ISO/IEC 23008-12): a photograph of a phone, not its video."""

_MOTION_JPEG = (".mjpeg", ".mjpg")
"""A video that is nothing but JPEG files in a row begins as the first of them: here the ending decides."""


def is_picture(path: Path) -> bool:
    """Return whether a file holds a picture, an animated one included; if not, it may be a video.

    Raises:
        InputError: It is missing, no regular file, or cannot be read.
    """
    require_file(path, "a picture or video")
    with path.open("rb") as file:
        head = file.read(HEAD)
    return not is_motion_jpeg(path) and (
        head.startswith(_PICTURES)
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS)
    )


def is_motion_jpeg(path: Path) -> bool:
    """Return whether a file holds JPEG files in a row, and not one with something behind it."""
    if path.suffix.lower() not in _MOTION_JPEG:
        return False
    with path.open("rb") as file:
        return file.read(2) == b"\xff\xd8"
