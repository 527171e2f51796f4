"""Libraries of the system that a package wants and a bare machine lacks: no bug, and told like that."""

from __future__ import annotations

import re

from yolotrt.errors import EnvironmentFault

_PACKAGES = {
    "libxcb": "libxcb1", "libX11": "libx11-6", "libSM": "libsm6", "libICE": "libice6", "libXext": "libxext6",
    "libXrender": "libxrender1", "libGL": "libgl1", "libgthread-2.0": "libglib2.0-0",
    "libglib-2.0": "libglib2.0-0", "libgomp": "libgomp1", "libstdc++": "libstdc++6",
}  # fmt: skip
"""Packages of Debian and Ubuntu by the libraries that wheels leave to the system."""

_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")

_OPENCV = (
    "Debian, Ubuntu: apt install {}   (the OpenCV that Ultralytics brings has windows)\n"
    "Without them: pip uninstall -y opencv-python && pip install --force-reinstall --no-deps "
    "opencv-python-headless"
)


def _opencv(holder: str) -> str:
    return _OPENCV.format(" ".join(dict.fromkeys(filter(None, (holder, "libgl1", "libglib2.0-0")))))


def missing_library(exc: BaseException | None) -> EnvironmentFault | None:
    """Return an error in our words if behind this one a package lacks a library of the system.

    Args:
        exc: What ended a verb.
    """
    while exc is not None:
        if isinstance(exc, ImportError) and (found := _MISSING.search(str(exc))):
            package = (exc.name or "").partition(".")[0]
            holder = _PACKAGES.get(found[1].partition(".so")[0], "")
            install = f"Debian, Ubuntu: apt install {holder}" if holder else f"Install what holds {found[1]}."
            return EnvironmentFault(
                f"{package or 'A package'} needs {found[1]}, which this system lacks.",
                hint=_opencv(holder) if package == "cv2" else install,
            )
        exc = exc.__cause__ or exc.__context__
    return None
