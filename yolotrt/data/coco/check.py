"""Is this the image that COCO published?

The annotations tell its width and height. Its checksum is in the directory of the image archive (CRC-32),
or may be its S3 ETag (MD5). Where a source offers neither, a changed byte inside the coded data cannot be
found by anybody; such files are marked as checked by structure only.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import Literal

from yolotrt.data.coco.layout import IMAGES, MAX_IMAGE
from yolotrt.data.fetch.jpeg import jpeg_problem
from yolotrt.data.fetch.rangezip import Archive

CheckedBy = Literal["crc32", "md5", "structure"]


@dataclass(frozen=True)
class Proof:
    """What an image must be, from the directory of the archive that COCO publishes.

    Attributes:
        size: Bytes.
        crc32: CRC-32 of the bytes.
    """

    size: int
    crc32: int


def image_proofs(archive: Archive) -> dict[str, Proof]:
    """Return sizes and checksums of the images in an archive, by file name."""
    prefix = f"{IMAGES}/"
    return {
        name[len(prefix) :]: Proof(member.size, member.crc32)
        for name, member in archive.members.items()
        if name.startswith(prefix) and 0 < member.size <= MAX_IMAGE
    }


def image_problem(
    data: bytes, size_wh: tuple[int, int], proof: Proof | None, md5: str | None = None
) -> str | None:
    """Say what is wrong with an image's bytes, or return None.

    Length and checksum are compared as far as they are known, structure and size in px always. Only an
    image that COCO's checksum does not vouch for is decoded too: that costs more than all the rest, and
    tells nothing new of bytes that are known to be the published ones.
    """
    if proof is not None and len(data) != proof.size:
        return f"it has {len(data):,} bytes instead of {proof.size:,}"
    if proof is not None and zlib.crc32(data) != proof.crc32:
        return "its content is not what COCO published (CRC-32)"
    if proof is None and md5 is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != md5:
        return "its content is not what the server announced (MD5)"
    return jpeg_problem(data, size_wh, decode=proof is None)


def checked_by(proof: Proof | None, md5: str | None = None) -> CheckedBy:
    """Return the strongest check that an image without a problem has passed."""
    return "crc32" if proof else "md5" if md5 else "structure"
