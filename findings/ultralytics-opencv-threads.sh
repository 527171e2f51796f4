#!/usr/bin/env bash
# ultralytics 8.4.190, opencv-python-headless 4.12.0.88, torch 2.13.0 (CPU), a machine of two cores or more.
#
# The guess: importing a library for its models leaves other libraries as they were.
# What it does: `import ultralytics` calls cv2.setNumThreads(0), and OpenCV computes with one thread from then
# on, in the whole program: its own decoding, resizing and colour conversion included. Nothing is printed, and
# no setting of ultralytics leaves it out. cv2.setNumThreads(-1) after the import gives the threads back.
# Why it matters: a camera program that draws, resizes or converts 4K frames with OpenCV gets slower by the
# import of a class that it may only use to export a network.
#
# Seen (two cores; threads of OpenCV):
#   at first 2, after import torch 2, after import ultralytics 1, after setNumThreads(-1) 2
#   as stated: the import left OpenCV one thread
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 torchvision==0.28.0 ultralytics==8.4.190 numpy==2.2.6
"$work/venv/bin/pip" uninstall --quiet --yes opencv-python
"$work/venv/bin/pip" install --quiet --no-deps opencv-python-headless==4.12.0.88

cat > "$work/threads.py" <<'PY'
"""Say how many threads OpenCV has before and after others are imported."""

import os

import cv2

if len(os.sched_getaffinity(0)) < 2:
    raise SystemExit("one core: OpenCV has one thread in any case")
seen = [cv2.getNumThreads()]
import torch  # noqa: E402, F401

seen.append(cv2.getNumThreads())
import ultralytics  # noqa: E402

ultralytics.YOLO  # the class is imported when it is first named
seen.append(cv2.getNumThreads())
cv2.setNumThreads(-1)
seen.append(cv2.getNumThreads())
print("  at first {}, after import torch {}, after import ultralytics {}, after setNumThreads(-1) {}".format(*seen))
if not (seen[0] == seen[1] == seen[3] > 1 and seen[2] == 1):
    raise SystemExit("  this has changed")
print("  as stated: the import left OpenCV one thread")
PY
YOLO_CONFIG_DIR="$work" "$work/venv/bin/python" "$work/threads.py"
