#!/usr/bin/env bash
# pycocotools 2.0.11, pycocotools.mask.frPyObjects and COCO.annToMask.
#
# The guess: the parts of a segmentation are a set. A part of two points covers no pixel, so it does no
# harm, or is an error, wherever it stands in the list.
# What it does: the length of the first part alone decides what the whole list is. With the two-point part
# at the end the list is polygons and the mask is right. With the same part in front, its 4 numbers make the
# list "boxes"; boxes have to be an array, so the whole object fails with a TypeError about a parameter "bb"
# that the annotation does not have.
# Why it matters: drawing tools leave such parts behind (a click, a line, a sliver after cutting into
# tiles). One of them in front stops the evaluation of all masks, with words that point at the boxes.
#
# Seen:
#   square                  400 pixels
#   square, two points      400 pixels
#   two points, square      TypeError: Argument 'bb' has incorrect type (expected numpy.ndarray, got list)
#   as stated: the same part is harmless at the end and fatal in front
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: numpy==2.4.6 pycocotools==2.0.11

cat > "$work/parts.py" <<'PY'
import contextlib
import io
import sys

from pycocotools.coco import COCO

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]
TWO_POINTS = [5, 5, 6, 6]


def pixels(segmentation: list[list[int]]) -> int:
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}
    coco = COCO()
    coco.dataset = {
        "images": [{"id": 1, "width": 40, "height": 40}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [annotation],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return int(coco.annToMask(annotation).sum())


alone, last = pixels([SQUARE]), pixels([SQUARE, TWO_POINTS])
print(f"{'square':<23} {alone} pixels")
print(f"{'square, two points':<23} {last} pixels")
try:
    first = pixels([TWO_POINTS, SQUARE])
except TypeError as error:
    print(f"{'two points, square':<23} TypeError: {error}")
    if alone != last or "'bb'" not in str(error):
        sys.exit("not as stated: the part changes the mask, or the message speaks of something else")
    print("as stated: the same part is harmless at the end and fatal in front")
else:
    sys.exit(f"not as stated: with the part in front the mask has {first} pixels")
PY
"$work/venv/bin/python" "$work/parts.py"
