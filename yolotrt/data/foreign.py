"""Files that are no picture we read, recognised so that they are refused by their right name."""

from __future__ import annotations

CONVERT = "Convert it first, for example: magick IN out.png"
DEVELOP = "Develop it first, for example: darktable-cli IN out.jpg"
READ = "JPEG, PNG, BMP, TIFF, WebP or GIF"

_BRANDS = {
    b"avif": ("an AVIF picture", CONVERT),
    b"avis": ("an AVIF picture", CONVERT),
    b"crx ": ("a RAW picture (Canon CR3)", DEVELOP),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc"), ("an HEIC picture", CONVERT)),
    **dict.fromkeys((b"mif1", b"msf1"), ("an HEIF picture (HEIC or AVIF)", CONVERT)),
}
"""What the first brand of an ISO base media file (ISO/IEC 14496-12, "ftyp") says."""

_MAGICS = (
    (b"\xff\x0a", "a JPEG XL picture", CONVERT),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture", CONVERT),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture", CONVERT),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", CONVERT),
    (b"II\xbc", "a JPEG XR picture", CONVERT),
    (b"v/1\x01", "an OpenEXR picture", "Tone-map it to 8 bits first, for example: magick IN out.png"),
    (b"#?R", "a Radiance HDR picture", "Tone-map it to 8 bits first, for example: magick IN out.png"),
    (b"IIU\0", "a RAW picture (Panasonic RW2)", DEVELOP),
    (b"IIR", "a RAW picture (Olympus ORF)", DEVELOP),
    (b"MMOR", "a RAW picture (Olympus ORF)", DEVELOP),
    (b"FUJIFILMCCD-RAW", "a RAW picture (Fujifilm RAF)", DEVELOP),
    (b"FOVb", "a RAW picture (Sigma X3F)", DEVELOP),
    (b"\0MRM", "a RAW picture (Minolta MRW)", DEVELOP),
    (b"II\x1a\0\0\0HEAPCCDR", "a RAW picture (Canon CRW)", DEVELOP),
    (b"8BPS", "a Photoshop document", CONVERT),
    (b"%PDF", "a PDF document", CONVERT),
    (b"<svg", "an SVG drawing", CONVERT),
    (b"SIMPLE  =", "a FITS picture", CONVERT),
    (b"qoif", "a QOI picture", CONVERT),
    (b"DDS ", "a DDS texture", CONVERT),
    (b"\0\0\1\0", "an icon", CONVERT),
    *((b"P%d" % n, "a PNM picture", CONVERT) for n in range(1, 8)),
    (b"PF\n", "a PFM picture", CONVERT),
    (b"Pf\n", "a PFM picture", CONVERT),
    (b"\x1a\x45\xdf\xa3", "a video (Matroska or WebM)", "Give it to --source of yolotrt run."),
    (b"version https://git-lfs", "a pointer of Git LFS", "Run: git lfs pull"),
)

ENDINGS = (
    ".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".exr", ".hdr", ".dng", ".cr2", ".cr3", ".nef", ".arw",
    ".raf", ".orf", ".rw2", ".psd", ".ppm", ".pgm",
)  # fmt: skip
"""Endings of pictures that are not read, in any case."""

VIDEO_ENDINGS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".mts", ".m2ts", ".mjpeg",
)  # fmt: skip
"""Endings of videos, in any case."""


def name_of(data: bytes) -> tuple[str, str] | None:
    """Return what a file is, and how to make a picture of it that is read; None if it is not known.

    Args:
        data: The whole file.
    """
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], ("a video (MP4 or QuickTime)", "Give it to --source of yolotrt run."))
    if data[128:132] == b"DICM":
        return "a DICOM picture", CONVERT
    found = next(((what, hint) for magic, what, hint in _MAGICS if data.startswith(magic)), None)
    head = data[:256].lstrip().lower()
    if found is None and head.startswith((b"<!doctype html", b"<html")):
        return "a web page", "Download the picture itself."
    return found
