"""Decoding of each format, through OpenCV: what it does not do by itself is done here."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import U8
from yolotrt.data.foreign import CONVERT
from yolotrt.data.headers import HeaderError, is_png, is_tiff, is_webp, png_chunks, webp_chunks
from yolotrt.data.quiet import quiet
from yolotrt.data.samples import DARK, SCALE, from_floats, from_integers
from yolotrt.data.tiff import CMYK, STRAIGHT, WHITE_IS_ZERO, Tiff

Decoded = tuple[U8, str | None]
"""(h, w, 3) BGR, and what was guessed or is in doubt, if anything."""

INTERLEAVE = "Write the samples of a pixel together first, for example: tiffcp -p contig IN out.tif"
_NAMES = {CMYK: "CMYK", 3: "palette", 6: "YCbCr", 8: "Lab"}
_RGB_OR_GRAY = (WHITE_IS_ZERO, 1, 2)

_DISPLAY = 1 / 2.2
"""Gamma of a PNG that is shown as it is stored (PNG, section 11.3.2.2)."""


def decode(data: bytes) -> Decoded:
    """Decode a file that :func:`yolotrt.data.headers.image_size` accepts.

    Raises:
        HeaderError: It is damaged, or its samples are no picture.
    """
    try:
        if is_tiff(data):
            return _tiff(data)
        if is_png(data):
            return _png(data)
    except (struct.error, IndexError, OverflowError) as exc:
        raise HeaderError("it is damaged") from exc
    if is_webp(data):
        image = _opencv(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        return _turned(image, _webp_turn(data)), None
    return _opencv(data, cv2.IMREAD_COLOR), None


def _opencv(data: bytes, flags: int) -> npt.NDArray[Any]:
    try:
        with quiet():
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None:
        raise HeaderError(f"it is damaged, or written in a way that OpenCV {cv2.__version__} does not read")
    return image


def _png(data: bytes) -> Decoded:
    chunks = dict(png_chunks(data))
    exponent = 1.0
    if b"gAMA" in chunks and not chunks.keys() & {b"sRGB", b"iCCP", b"cICP"}:  # which go before it
        (gamma,) = struct.unpack(">I", chunks[b"gAMA"])
        exponent = _DISPLAY / (gamma / 100_000) if gamma else 1.0
        exponent = 1.0 if abs(exponent - 1) < 0.1 else exponent
    deep = data[24] == 16
    if not deep and exponent == 1.0:
        return _opencv(data, cv2.IMREAD_COLOR), None
    image = _opencv(data, cv2.IMREAD_COLOR | (cv2.IMREAD_ANYDEPTH if deep else 0))
    return from_integers(image, exponent=exponent)


def _tiff(data: bytes) -> Decoded:
    tiff = Tiff.of(data)
    _require_known(tiff)
    if tiff.alpha == STRAIGHT:  # or libtiff would multiply the colours by it
        where, kind = tiff.alpha_at, tiff.order + "H"
        data = data[:where] + struct.pack(kind, 0) + data[where + 2 :]
    if tiff.kind == "uint" and tiff.bits <= 8:
        return _opencv(data, cv2.IMREAD_COLOR), None
    if tiff.planar or (tiff.photometric in (WHITE_IS_ZERO, 1) and tiff.extra):
        return _shallow(data, tiff), None
    image = _opencv(data, cv2.IMREAD_UNCHANGED)
    if tiff.kind == "float":
        found, note = from_floats(image)
        note = note or (
            "its floating-point samples have a colour profile: if that is linear, it is read too dark"
            if tiff.profile
            else None
        )
    else:
        packed = tiff.bits in (10, 12, 14)  # OpenCV moves them to the upper end of 16 bits
        full = ((1 << tiff.bits) - 1) << 16 - tiff.bits if packed else None
        if tiff.depth:
            full = (1 << tiff.depth) - 1
        kind = f"{'i' if tiff.kind == 'int' else 'u'}{image.dtype.itemsize}"
        found, note = from_integers(image.view(kind), full=full)  # OpenCV 4 knows no uint32
    if tiff.photometric == WHITE_IS_ZERO:
        found = 255 - found
    return _as_bgr(found), note


def _require_known(tiff: Tiff) -> None:
    """Refuse what OpenCV would not read, or misread, by its right name."""
    if tiff.extra < 0 or tiff.extra > 1:
        raise HeaderError(f"it has {tiff.samples} samples a pixel, which are no picture", CONVERT)
    deep = tiff.bits > 8 or tiff.kind != "uint"
    gray = tiff.photometric in (WHITE_IS_ZERO, 1)
    if deep and gray and tiff.extra and not tiff.alpha:
        raise HeaderError(f"it has {tiff.samples} samples a pixel, and does not say what they mean", CONVERT)
    if deep and tiff.photometric not in _RGB_OR_GRAY:
        name = _NAMES.get(tiff.photometric, "picture of another kind")
        raise HeaderError(f"it is a {name} TIFF of {tiff.bits} bits a sample", SCALE)
    known = (32, 64) if tiff.kind == "float" else (1, 2, 4, 8, 10, 12, 14, 16, 32, 64)
    if tiff.kind is None or tiff.bits not in known:
        what = {"float": "floating-point numbers", None: "complex numbers"}.get(tiff.kind, "integers")
        raise HeaderError(f"its samples are {what} of {tiff.bits} bits", SCALE)


def _shallow(data: bytes, tiff: Tiff) -> U8:
    """Decode what OpenCV reads right only as 8 bits: planes of 16 bits, and gray with alpha."""
    layout = "planes of their own" if tiff.planar else "gray with alpha"
    if tiff.kind != "uint" or tiff.bits != 16:
        raise HeaderError(f"its samples of {tiff.bits} bits are in {layout}", INTERLEAVE)
    image = _opencv(data, cv2.IMREAD_COLOR)
    if tiff.depth or int(image.max()) * DARK < 255:
        raise HeaderError(f"its samples of 16 bits, in {layout}, do not fill their scale", SCALE)
    return np.asarray(image, np.uint8)


def _as_bgr(image: U8) -> U8:
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
    return np.ascontiguousarray(image[..., :3])


def _webp_turn(data: bytes) -> int:
    """Return the EXIF orientation of a WebP, which OpenCV 4 does not look at."""
    for kind, body in webp_chunks(data):
        if kind == b"EXIF":
            try:
                return Tiff.of(body.removeprefix(b"Exif\0\0")).orientation
            except (struct.error, IndexError, OverflowError):
                return 1
    return 1


def _turned(image: U8, orientation: int) -> U8:
    """Turn a picture upright (EXIF 2.32, tag Orientation)."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
