"""Windows that show what a run finds, through Tk, which comes with most Pythons."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from yolotrt.arrays import Frame
from yolotrt.errors import EnvironmentFault
from yolotrt.workflow.outlets import Opening, SeenFrame, Sink
from yolotrt.workflow.predict import Draw

SIDES = (1280, 720)
"""Pictures are made smaller until they fit, px."""


def require_display() -> None:
    """Try to open a window.

    Raises:
        EnvironmentFault: There is no display, or no Tk.
    """
    _root().destroy()


def window_output(draw: Draw) -> Opening[SeenFrame]:
    """Return what shows each frame with its detections drawn, in a window for each source.

    A window that is closed stays closed. All of it happens in one thread, as Tk wants it.
    """

    @contextmanager
    def opened() -> Iterator[Sink[SeenFrame]]:
        root = _root()
        windows = _Windows(root)

        def take(seen: SeenFrame) -> None:
            if windows.wanted(seen.source):
                windows.show(seen.source, fitted(np.asarray(draw(seen.frame, seen), np.uint8)))
            root.update()

        try:
            yield take
        finally:
            root.destroy()

    return opened


def fitted(picture: Frame) -> Frame:
    """Return a picture (h, w, 3), smaller if it does not fit into :data:`SIDES`."""
    height, width = picture.shape[:2]
    scale = min(1.0, SIDES[0] / width, SIDES[1] / height)
    if scale == 1.0:
        return picture
    wh = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(picture, wh, interpolation=cv2.INTER_AREA), np.uint8)


class _Windows:
    """A window for each source."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._labels: dict[str, Any] = {}
        self._closed: set[str] = set()

    def wanted(self, name: str) -> bool:
        return name not in self._closed

    def show(self, name: str, picture: Frame) -> None:
        import tkinter

        if name not in self._labels:
            window = tkinter.Toplevel(self._root)
            window.title(name)
            window.protocol("WM_DELETE_WINDOW", lambda: self._close(name, window))
            self._labels[name] = tkinter.Label(window, borderwidth=0)
            self._labels[name].pack()
        head = f"P6 {picture.shape[1]} {picture.shape[0]} 255 ".encode()
        image = tkinter.PhotoImage(master=self._root, data=head + picture[..., ::-1].tobytes())
        label = self._labels[name]
        label.configure(image=image)
        label.image = image  # Tk itself does not hold it

    def _close(self, name: str, window: Any) -> None:
        self._closed.add(name)
        window.destroy()


def _root() -> Any:
    try:
        import tkinter
    except ImportError as exc:
        raise EnvironmentFault(
            f"--show needs Tk ({exc}).", hint="On Debian and Ubuntu: apt install python3-tk"
        ) from exc
    try:
        root = tkinter.Tk()
    except tkinter.TclError as exc:
        raise EnvironmentFault(
            f"--show finds no display ({exc}).", hint="Leave it out, or write a video: --save seen.mp4"
        ) from exc
    root.withdraw()
    return root
