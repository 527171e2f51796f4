#!/usr/bin/env bash
# onnxruntime-ep-nv-tensorrt-rtx 0.5.0 (its package for CUDA 13: 146 MB) with onnxruntime 1.32.0, on a machine
# without an NVIDIA driver.
#
# The guess: the plugin carries TensorRT-RTX 1.7.1 and has an option nv_target_sm, so it prepares a network for
# a named GPU (an EPContext model) on a build machine without one, as the package tensorrt-rtx does.
# What it does: the plugin cannot even be registered. Its library is linked to libcuda.so.1 and
# libnvidia-ml.so.1, which only a driver brings; a stand-in for the first is followed by the wish for the
# second. tensorrt-rtx, with the same library inside, imports, parses and builds there.
# Why it matters: with the plugin a CI without a GPU can neither build nor check anything, so it replaces
# tensorrt-rtx on the target and not on the build machine. The import of its Python package succeeds and
# tells nothing; the error comes at registration and names a file of the driver.
#
# Seen (no driver):
#   import            works, names NvTensorRTRTXExecutionProvider
#   registration      fails: libcuda.so.1: cannot open shared object file
#   linked to         libcuda.so.1, libnvidia-ml.so.1
#   as stated: without a driver the plugin cannot be registered
set -euo pipefail
if ldconfig -p | grep -q 'libcuda\.so\.1'; then
    echo "there is an NVIDIA driver here: nothing to see" >&2
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet numpy==2.4.6 onnxruntime==1.32.0 onnxruntime-ep-nv-tensorrt-rtx==0.5.0

cat > "$work/register.py" <<'PY'
import re
import sys
from pathlib import Path

import onnxruntime as ort
import onnxruntime_ep_nv_tensorrt_rtx as plugin

name, library = plugin.get_ep_name(), plugin.get_library_path()
print(f"{'import':<17} works, names {name}")
try:
    ort.register_execution_provider_library(name, library)
except Exception as exc:
    reason = str(exc).rpartition("with error: ")[2].split(": No such")[0]
else:
    sys.exit("not as stated: the plugin is registered")
print(f"{'registration':<17} fails: {reason}")
text = Path(library).read_bytes()
needed = (b"libcuda.so.1", b"libnvidia-ml.so.1")
linked = [n.decode() for n in needed if re.search(rb"\0" + re.escape(n) + rb"\0", text)]
print(f"{'linked to':<17} {', '.join(linked)}")
if "libcuda.so.1" not in reason or len(linked) != 2:
    sys.exit("not as stated: it fails for another reason")
print("as stated: without a driver the plugin cannot be registered")
PY
"$work/venv/bin/python" "$work/register.py"
