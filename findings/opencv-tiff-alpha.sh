#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, cv2.imdecode of TIFF.
#
# The guess: the flag IMREAD_UNCHANGED returns the stored numbers, in 8 bits as in 16 bits, and IMREAD_COLOR
# drops the alpha channel, as it does for PNG.
# What it does: if the TIFF says that its alpha is unassociated (ExtraSamples 2: the colours are not
# multiplied, the usual kind) 8-bit colours come back multiplied by alpha, "unchanged" or not. The same
# picture in 16 bits comes back as stored, but multiplied again when it is asked for in 8 bits. As PNG it
# never is.
# Why it matters: YOLO sees a darker picture (black where alpha is 0) than from the PNG of the same pixels,
# and a calibration or an evaluation on TIFF exports of a drawing or GIS program is not what it seems.
#
# Seen (stored: R 200, G 100, B 50, alpha 128, or 257 times that in 16 bits):
#    8-bit PNG,  unchanged  R 200, G 100, B 50
#    8-bit TIFF, unchanged  R 100, G 50, B 25
#    8-bit TIFF, colour     R 100, G 50, B 25
#   16-bit TIFF, unchanged  R 51400, G 25700, B 12850
#   16-bit TIFF, colour     R 100, G 50, B 25
#   as stated: 8-bit colours are multiplied by alpha, even unchanged
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: numpy==2.4.6 opencv-python-headless==5.0.0.93

cat > "$work/alpha.py" <<'PY'
import struct
import sys

import cv2
import numpy as np

SHORT, LONG = 3, 4  # field types of TIFF 6.0
UNASSOCIATED = 2  # value of ExtraSamples


def tiff(rgba: np.ndarray) -> np.ndarray:
    """Write one uncompressed strip of interleaved RGBA samples, little-endian (TIFF 6.0)."""
    height, width, channels = rgba.shape
    pixels = rgba.tobytes()
    bits = struct.pack("<4H", *[rgba.itemsize * 8] * channels)
    fields = [
        (256, LONG, 1, width),
        (257, LONG, 1, height),
        (258, SHORT, channels, 8 + len(pixels)),  # BitsPerSample lie behind the pixels
        (259, SHORT, 1, 1),  # no compression
        (262, SHORT, 1, 2),  # RGB
        (273, LONG, 1, 8),  # where the strip starts
        (277, SHORT, 1, channels),
        (278, LONG, 1, height),
        (279, LONG, 1, len(pixels)),
        (284, SHORT, 1, 1),  # interleaved
        (338, SHORT, 1, UNASSOCIATED),
    ]
    directory = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", *field) for field in fields)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels) + len(bits))
    return np.frombuffer(head + pixels + bits + directory + struct.pack("<I", 0), np.uint8)


def rgb(file: np.ndarray, flag: int, label: str) -> tuple[int, ...]:
    blue, green, red = (int(v) for v in cv2.imdecode(file, flag)[5, 5, :3])
    print(f"{label:<23} R {red}, G {green}, B {blue}")
    return red, green, blue


small = np.full((16, 16, 4), (200, 100, 50, 128), np.uint8)
large = small.astype(np.uint16) * 257
png = cv2.imencode(".png", cv2.cvtColor(small, cv2.COLOR_RGBA2BGRA))[1]
stored, halved = (200, 100, 50), (100, 50, 25)
seen = (
    rgb(png, cv2.IMREAD_UNCHANGED, " 8-bit PNG,  unchanged"),
    rgb(tiff(small), cv2.IMREAD_UNCHANGED, " 8-bit TIFF, unchanged"),
    rgb(tiff(small), cv2.IMREAD_COLOR, " 8-bit TIFF, colour"),
    rgb(tiff(large), cv2.IMREAD_UNCHANGED, "16-bit TIFF, unchanged"),
    rgb(tiff(large), cv2.IMREAD_COLOR, "16-bit TIFF, colour"),
)
if seen != (stored, halved, halved, tuple(257 * v for v in stored), halved):
    sys.exit("not as stated: OpenCV treats the alpha of a TIFF in another way now")
print("as stated: 8-bit colours are multiplied by alpha, even unchanged")
PY
"$work/venv/bin/python" "$work/alpha.py"
