"""What a source of COCO images and annotations can do, be it a server, a folder or an archive."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from yolotrt.data.coco.check import Proof
from yolotrt.data.fetch.partial import Partial
from yolotrt.errors import StorageError

Watch = Callable[[int, int], None]
"""Told how many bytes of how many have arrived; 0 when the whole is unknown."""

TRIES = 3
"""How often to ask for what arrives damaged."""

_RESERVE = 16 << 20


class CocoSource(Protocol):
    """COCO's validation images and annotations, wherever they are."""

    @property
    def base(self) -> str:
        """Its URL or path, for the manifest."""

    @property
    def remote(self) -> bool:
        """Whether it is far away: worth asking again, and worth keeping what it gave."""

    @property
    def received(self) -> int:
        """Bytes that came over a network so far."""

    def url(self, name: str) -> str:
        """Return where an image comes from, for the manifest and messages."""

    def instances(self, target: Path, work: Path, watch: Watch) -> str:
        """Write the instances JSON to ``target``, atomically; ``work`` is a folder for partial files.

        Returns:
            Where it was, for messages: a URL or path, and behind an archive's the member's name.

        Raises:
            YoloTrtError: It is not there, damaged, or cannot be written.
        """

    def proofs(self) -> Mapping[str, Proof]:
        """Return sizes and checksums by image name, as far as the source has them."""

    def image(self, name: str, limit: int, partial: Partial, moved: Callable[[int], None]) -> str | None:
        """Bring an image of at most ``limit`` bytes into ``partial``, continuing what is there.

        Returns:
            Its MD5, where the source tells.

        Raises:
            YoloTrtError: It is not there, or cannot be written.
        """

    def close(self) -> None:
        """Let go of connections."""


def require_space(folder: Path, needed: int, *, free: int | None = None) -> None:
    """Check that ``needed`` bytes, and 16 MiB to spare, fit on the disk of an existing folder.

    Args:
        folder: Where they will be written.
        needed: How many bytes.
        free: Free bytes; asked from the file system if None.

    Raises:
        StorageError: They do not fit.
    """
    free = shutil.disk_usage(folder).free if free is None else free
    if needed and needed + _RESERVE > free:
        raise StorageError(
            f"{folder} has {free / 1e6:,.0f} MB free; {(needed + _RESERVE) / 1e6:,.0f} MB are needed.",
            hint="Free some space, ask for fewer --images, or choose another folder with --out.",
        )
