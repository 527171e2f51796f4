"""Read single members of a zip archive through ranges of its bytes, local or remote.

The format is PKWARE's APPNOTE.TXT 6.3.10: end of central directory (4.3.16, ZIP64 in 4.3.14 and 4.3.15),
central directory (4.3.12), local header (4.3.7). An archive is untrusted: sizes are limited before
anything is allocated, a member never inflates past its declared size, and its CRC-32 must agree. A
member's name is only ever compared, never used as a path.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from yolotrt.errors import ArtifactError

ReadRange = Callable[[int, int], bytes]
"""``read(offset, length)`` gives exactly ``length`` bytes of the archive."""

MAX_DIRECTORY = 64 << 20
MAX_MEMBER = 256 << 20
_TAIL = 22 + 0xFFFF + 20 + 56  # end record, longest comment, ZIP64 locator and record
_STORED, _DEFLATED = 0, 8
CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One file inside the archive, as the central directory describes it.

    Attributes:
        name: Its name; untrusted, for comparison only.
        method: 0 stored, 8 deflated.
        crc32: CRC-32 of the uncompressed bytes.
        compressed: Bytes in the archive.
        size: Bytes when uncompressed.
        header: Offset of its local header.
    """

    name: str
    method: int
    crc32: int
    compressed: int
    size: int
    header: int


@dataclass(frozen=True)
class Archive:
    """A zip archive whose directory has been read.

    Attributes:
        label: What to call it in messages, a path or a URL.
        read: Gives ranges of its bytes.
        total: Its size in bytes.
        members: Its files by name.
    """

    label: str
    read: ReadRange
    total: int
    members: dict[str, Member]

    def member(self, name: str) -> Member:
        """Return a member that can be read.

        Raises:
            ArtifactError: It is not there, encrypted, compressed in another way, or too large.
        """
        member = self.members.get(name)
        if member is None:
            raise _unusable(self.label, f"it has no {name}")
        if member.method not in (_STORED, _DEFLATED):
            raise _unusable(self.label, f"{name} is encrypted or compressed by method {member.method}")
        if member.size > MAX_MEMBER or member.compressed > MAX_MEMBER:
            raise _unusable(self.label, f"{name} is larger than {MAX_MEMBER >> 20} MiB")
        return member

    def data_offset(self, member: Member) -> int:
        """Return where the member's (compressed) bytes begin.

        Raises:
            ArtifactError: Its local header is not where the directory says, or names another file.
        """
        name = member.name.encode()
        header = self._read(member.header, 30)
        if header[:4] != b"PK\x03\x04":
            raise _unusable(self.label, f"{member.name} has no local header")
        name_length, extra_length = struct.unpack_from("<HH", header, 26)
        if name_length != len(name) or self._read(member.header + 30, name_length) != name:
            raise _unusable(self.label, f"the local header of {member.name} names another file")
        offset: int = member.header + 30 + name_length + extra_length
        if offset + member.compressed > self.total:
            raise _unusable(self.label, f"{member.name} ends after the archive does")
        return offset

    def chunks(self, member: Member) -> Iterator[bytes]:
        """Give the member's (compressed) bytes.

        Raises:
            ArtifactError: See :meth:`data_offset`.
        """
        at = self.data_offset(member)
        end = at + member.compressed
        for start in range(at, end, CHUNK):
            yield self.read(start, min(CHUNK, end - start))

    def _read(self, offset: int, length: int) -> bytes:
        if offset + length > self.total:
            raise _unusable(self.label, "a header lies after its end")
        return self.read(offset, length)


def open_archive(label: str, read: ReadRange, total: int) -> Archive:
    """Read the directory of an archive: usually one range, two when it is long.

    Raises:
        ArtifactError: It is not a zip archive, is damaged, spans several disks, or its directory is
            larger than :data:`MAX_DIRECTORY`.
    """
    tail_start = max(0, total - _TAIL)
    tail = read(tail_start, total - tail_start)
    count, size, offset = _end_record(label, tail, tail_start)
    if size > MAX_DIRECTORY or count * 46 > size or offset + size > total:
        raise _unusable(label, "its directory does not fit")
    if offset >= tail_start:
        directory = tail[offset - tail_start : offset - tail_start + size]
    else:
        directory = read(offset, size)
    return Archive(label, read, total, _members(label, directory, count))


def open_local(path: Path) -> Archive:
    """Read the directory of an archive on disk.

    Raises:
        ArtifactError: See :func:`open_archive`.
    """

    def read(offset: int, length: int) -> bytes:
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)

    return open_archive(str(path), read, path.stat().st_size)


def unpack(archive: Archive, member: Member, chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Uncompress a member from its compressed ``chunks``, checking size and CRC-32 at the end.

    Nothing past the declared size is ever given, so a decompression bomb ends here. Use what it gives
    only once the iterator has ended without an error.

    Raises:
        ArtifactError: The data is damaged, incomplete, or longer than declared.
    """
    crc, size = 0, 0
    inflater = zlib.decompressobj(-15) if member.method == _DEFLATED else None
    for chunk in chunks:
        while chunk:
            try:
                plain = chunk if inflater is None else inflater.decompress(chunk, CHUNK)
            except zlib.error as exc:
                raise _unusable(archive.label, f"{member.name} is damaged ({exc})") from exc
            # Input that was not consumed because the output is limited comes again.
            chunk = b"" if inflater is None else inflater.unconsumed_tail
            size += len(plain)
            if size > member.size or (inflater is not None and inflater.unused_data):
                raise _unusable(archive.label, f"{member.name} is longer than its directory says")
            crc = zlib.crc32(plain, crc)
            yield plain
    if size != member.size or crc != member.crc32 or (inflater is not None and not inflater.eof):
        raise _unusable(archive.label, f"{member.name} is damaged (size or CRC-32 differ)")


def _unusable(label: str, why: str) -> ArtifactError:
    return ArtifactError(f"{label} is not a usable zip archive: {why}.")


def _end_record(label: str, tail: bytes, tail_start: int) -> tuple[int, int, int]:
    """Return the number of entries, the size and the offset of the central directory."""
    at = len(tail)
    while (at := tail.rfind(b"PK\x05\x06", 0, at)) >= 0:
        if at + 22 <= len(tail) and at + 22 + struct.unpack_from("<H", tail, at + 20)[0] == len(tail):
            break
    else:
        raise _unusable(label, "it has no end record (is it truncated?)")
    disk, start_disk, here, count, size, offset = struct.unpack_from("<HHHHII", tail, at + 4)
    if count == 0xFFFF or size == 0xFFFFFFFF or offset == 0xFFFFFFFF:
        return _zip64_end_record(label, tail, tail_start, at)
    if disk or start_disk or here != count:
        raise _unusable(label, "it spans several disks")
    return count, size, offset


def _zip64_end_record(label: str, tail: bytes, tail_start: int, end: int) -> tuple[int, int, int]:
    if end < 20 or tail[end - 20 : end - 16] != b"PK\x06\x07":
        raise _unusable(label, "its ZIP64 locator is missing")
    at = struct.unpack_from("<Q", tail, end - 12)[0] - tail_start
    if at < 0 or at + 56 > end or tail[at : at + 4] != b"PK\x06\x06":
        raise _unusable(label, "its ZIP64 end record is missing")
    disk, start_disk, here, count, size, offset = struct.unpack_from("<IIQQQQ", tail, at + 16)
    if disk or start_disk or here != count:
        raise _unusable(label, "it spans several disks")
    return count, size, offset


def _members(label: str, directory: bytes, count: int) -> dict[str, Member]:
    members: dict[str, Member] = {}
    at = 0
    for _ in range(count):
        if directory[at : at + 4] != b"PK\x01\x02" or at + 46 > len(directory):
            raise _unusable(label, "its directory is damaged")
        flags, method = struct.unpack_from("<HH", directory, at + 8)
        crc, compressed, size, names, extras, comments = struct.unpack_from("<IIIHHH", directory, at + 16)
        offset = struct.unpack_from("<I", directory, at + 42)[0]
        raw_name = directory[at + 46 : at + 46 + names]
        extra = directory[at + 46 + names : at + 46 + names + extras]
        at += 46 + names + extras + comments
        if at > len(directory):
            raise _unusable(label, "its directory is damaged")
        size, compressed, offset = _widened(label, extra, (size, compressed, offset))
        # COCO's names are ASCII; a name in any other encoding can only fail to be found.
        name = raw_name.decode("utf-8", errors="replace")
        if name in members:
            raise _unusable(label, f"it has two files named {name}")
        members[name] = Member(name, -1 if flags & 1 else method, crc, compressed, size, offset)
    return members


def _widened(label: str, extra: bytes, fields: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace fields that are all ones by their 64-bit values (APPNOTE 4.5.3)."""
    if 0xFFFFFFFF not in fields:
        return fields
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        body = extra[at + 4 : at + 4 + length]
        if tag == 1:
            wide = iter([w[0] for w in struct.iter_unpack("<Q", body[: len(body) // 8 * 8])])
            size, compressed, offset = (next(wide, -1) if f == 0xFFFFFFFF else f for f in fields)
            if min(size, compressed, offset) >= 0:
                return size, compressed, offset
        at += 4 + length
    raise _unusable(label, "a ZIP64 size is missing")
