"""Libraries of the system that a package wants and a bare machine lacks: no bug, and told like that."""

from __future__ import annotations

import re

from yolotrt.errors import EnvironmentFault

_MISSING = re.compile(r"(lib[\w.+-]+\.so[\w.]*): cannot open shared object file")

_OPENCV = (
    "Debian, Ubuntu: apt install libgl1 libglib2.0-0   (the OpenCV that Ultralytics brings has windows)\n"
    "Without them: pip uninstall -y opencv-python && pip install --force-reinstall --no-deps "
    "opencv-python-headless"
)


def missing_library(exc: BaseException | None) -> EnvironmentFault | None:
    """Return an error in our words if behind this one a package lacks a library of the system.

    Args:
        exc: What ended a verb.
    """
    while exc is not None:
        if isinstance(exc, ImportError) and (found := _MISSING.search(str(exc))):
            package = (exc.name or "").partition(".")[0]
            return EnvironmentFault(
                f"{package or 'A package'} needs {found[1]}, which this system lacks.",
                hint=_OPENCV if package == "cv2" else f"Install what holds {found[1]}.",
            )
        exc = exc.__cause__ or exc.__context__
    return None
