"""Libraries that inference has loaded into this process, beyond what Python's packages tell."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

_MAPS = Path("/proc/self/maps")
_CUDNN = re.compile(r"/\S*/libcudnn_graph\.so\S*")
"""The part of cuDNN 9 that knows. ``libcudnn.so`` only passes calls on, and ends the process if it cannot."""


def cudnn_version() -> str | None:
    """Return the version of the cuDNN in this process, or None.

    It is that of a package only by chance: ONNX Runtime takes the first one that it finds, of PyTorch, of a
    wheel or of the system, and which one it is can change the times of several groups by a factor of two.
    """
    try:
        found = _CUDNN.search(_MAPS.read_text())
        number = ctypes.CDLL(found[0]).cudnnGetVersion() if found else 0
    except (OSError, AttributeError):
        return None
    # CUDNN_VERSION of cudnn_version.h, since cuDNN 9: major * 10000 + minor * 100 + patch.
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}" if number else None
