"""Drawn pictures and videos under names of their own: two inputs never share one output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

import cv2

from yolotrt.arrays import Frame
from yolotrt.artifacts.files import ensure_writable, write_bytes
from yolotrt.data.sources import Shot, Source, video_rates
from yolotrt.data.video_writer import Append, new_video
from yolotrt.errors import StorageError
from yolotrt.progress import Say

TakeDrawn = Callable[[Shot, Frame], None]

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
"""Kinds of pictures that are drawn as such; the others become PNG."""

VIDEO = ".mp4"
USUAL_FPS = 25.0


def drawn_names(source: Source) -> dict[str, str]:
    """Return the files that are drawn, below the folder, by the names of what they are drawn from.

    A name stays, with its folders, if its kind can be written; ``x.bmp`` becomes ``x.bmp.png`` and
    ``clip.mov`` ``clip.mov.mp4``.
    """
    moving = video_rates(source)
    return _distinct(
        {name: ((VIDEO,), VIDEO) if name in moving else (PICTURES, ".png") for name in source.names}
    )


@contextmanager
def drawing(source: Source, folder: Path, say: Say = print) -> Iterator[TakeDrawn]:
    """Give a function that writes the drawn frame of a shot.

    A video is complete when the first shot of another source is written, or the block ends.

    Args:
        source: Where the shots come from.
        folder: For the files; it is made.
        say: Told which videos are there already: an hour's work is replaced by whoever tries a few frames.

    Raises:
        StorageError: A file cannot be written.
    """
    names, moving = drawn_names(source), video_rates(source)
    current: str | None = None
    append: TakeDrawn | None = None
    for name in moving:
        ensure_writable(target := folder / names[name])
        if target.exists():
            say(f"note: {target}, of an earlier call, is replaced; another --save keeps both")
    with ExitStack() as stack:

        def write(shot: Shot, picture: Frame) -> None:
            nonlocal current, append
            video = shot.video
            if video != current:
                stack.close()
                current = video
                append = (
                    None
                    if video is None
                    else stack.enter_context(_video(folder / names[video], moving[video] or USUAL_FPS))
                )
            if append is None:
                _write_picture(folder / names[shot.name], picture)
            else:
                append(shot, picture)

        yield write


def _write_picture(target: Path, picture: Frame) -> None:
    done, data = cv2.imencode(target.suffix.lower(), picture)
    if not done:
        width, height = picture.shape[1], picture.shape[0]
        raise StorageError(
            f"{target} cannot be written: no {target.suffix} has {width}x{height} px.",
            hint="Name the picture .png, or cut it into parts.",
        )
    write_bytes(target, data.tobytes())


@contextmanager
def _video(target: Path, fps: float) -> Iterator[TakeDrawn]:
    """Give a function that appends a frame to a video, which begins with the first one: it has the size."""
    with ExitStack() as stack:
        append: Append | None = None

        def extend(shot: Shot, picture: Frame) -> None:
            nonlocal append
            if append is None:
                wh = (picture.shape[1], picture.shape[0])
                append = stack.enter_context(new_video(target, fps, wh))
            append(picture, None if shot.moment is None else shot.moment.time_s)

        yield extend


def _distinct(kinds: Mapping[str, tuple[Sequence[str], str]]) -> dict[str, str]:
    """Return a name for each of the keys that none of the others has.

    Args:
        kinds: Endings that may stay, and what is added to others, by name.
    """
    kept = {name: name for name, (stay, _) in kinds.items() if PurePosixPath(name).suffix.lower() in stay}
    taken = set(kept.values())
    for name, (_, added) in kinds.items():
        if name in kept:
            continue
        new, number = f"{name}{added}", 2
        while new in taken:
            new, number = f"{name}-{number}{added}", number + 1
        taken.add(new)
        kept[name] = new
    return kept
