#!/usr/bin/env bash
# trackers 2.6.1 (ByteTrackTracker), with supervision 0.31.2.
#
# The guess: update() gives each detection a number and returns the detections as they came, so row k is
# still object k: numbers can be put beside one's own list of masks or crops by position.
# What it does: it returns all detections, but grouped by how they were matched: sure ones first once their
# tracks are known, then the others; in the first frame unsure ones come first. Each row is right in itself.
# Why it matters: with fixed objects that stand still, zip(masks, tracked.tracker_id) gives the number of one
# object to another, and the same number changes its object after the first frame. No length differs, nothing is said.
#
# Seen (4 boxes that barely move, scores 0.3 0.9 0.4 0.8, class_id is the row that went in):
#   frame 0: rows that come back 0 2 1 3
#   frame 1: rows that come back 1 3 0 2
#   frame 2: rows that come back 1 3 0 2
#   numbers by position say that object 0 is number 0; by row it is object 1
#   as stated: rows come back in another order
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --only-binary :all: numpy==2.4.6 supervision==0.31.2 trackers==2.6.1

cat > "$work/rows.py" <<'PY'
import sys

import numpy as np
import supervision as sv
from trackers import ByteTrackTracker

BOXES = np.array([[left, 0, left + 10, 10] for left in (0, 50, 100, 150)], float)
SCORES = np.array([0.3, 0.9, 0.4, 0.8])

tracker, orders, numbered = ByteTrackTracker(), [], None
for frame in range(3):
    given = sv.Detections(xyxy=BOXES + frame, confidence=SCORES, class_id=np.arange(4))
    found = tracker.update(given)
    for row, score, box in zip(found.class_id, found.confidence, found.xyxy, strict=True):
        if score != SCORES[row] or not np.array_equal(box, BOXES[row] + frame):
            sys.exit("not as stated: a row is not one of those that went in")
    orders.append([int(row) for row in found.class_id])
    numbered = found
    print(f"frame {frame}: rows that come back", *orders[-1])
first = int(np.flatnonzero(numbered.tracker_id == 0)[0])
by_row = int(numbered.class_id[first])
print(f"numbers by position say that object {first} is number 0; by row it is object {by_row}")
if any(sorted(order) != [0, 1, 2, 3] for order in orders) or [0, 1, 2, 3] in orders or first == by_row:
    sys.exit("not as stated: rows come back as they went in, or fewer of them")
print("as stated: rows come back in another order")
PY
"$work/venv/bin/python" "$work/rows.py"
