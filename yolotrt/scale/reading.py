"""Pictures of a shard, read and decoded while those before them are looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from yolotrt.arrays import Frame
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.headers import HeaderError, image_size
from yolotrt.data.images import decode_image
from yolotrt.errors import ImageError, InputError
from yolotrt.scale.plan import Item

AHEAD = 2
"""Pictures that are decoded and wait."""

AGAIN = "Run the same command again: it plans anew, and keeps what is done."

_HEADER = 1 << 16
"""Bytes in which nearly every picture says how large it is."""

Coming = Iterator[tuple[int, Future[Frame] | None]]


@contextmanager
def pictures_ahead(items: Sequence[Item]) -> Iterator[Coming]:
    """Give the place of each item with its picture; of a video there is none.

    A thread reads ahead: decoding a picture takes longer than a GPU takes to look at it. Pictures of one size
    come behind each other: a pipeline on a GPU makes anew what depends on the size.
    """
    pool = ThreadPoolExecutor(1, "yolotrt-read")
    coming: deque[tuple[int, Future[Frame] | None]] = deque()

    def ahead() -> Coming:
        for place in _alike_together(items):
            item = items[place]
            coming.append((place, pool.submit(_picture, item) if item.part is None else None))
            if len(coming) > AHEAD:
                yield coming.popleft()
        while coming:
            yield coming.popleft()

    try:
        yield ahead()
    finally:
        pool.shutdown(cancel_futures=True)


def _alike_together(items: Sequence[Item]) -> list[int]:
    """Return the places of items, those of one size behind the first of them."""
    sizes = [_size(item) for item in items]
    firsts: dict[tuple[int, int] | None, int] = {}
    for place, size in enumerate(sizes):
        firsts.setdefault(size, place)
    return sorted(range(len(items)), key=lambda place: firsts[sizes[place]])


def _size(item: Item) -> tuple[int, int] | None:
    """Return the size that a picture announces; None if it does not, which whoever decodes it will tell."""
    if item.part is not None or item.error is not None:
        return None
    try:
        with Path(item.path).open("rb") as file:
            return image_size(file.read(_HEADER))
    except (OSError, HeaderError):
        return None


def _picture(item: Item) -> Frame:
    if item.error is not None:
        raise ImageError(item.error)
    path = Path(item.path)
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(f"{item.name} cannot be read any more ({exc.strerror}).", hint=AGAIN) from exc
    if sha256_bytes(data) != item.sha256:
        raise InputError(f"{item.name} was changed after the batch was planned.", hint=AGAIN)
    return decode_image(data, path)
