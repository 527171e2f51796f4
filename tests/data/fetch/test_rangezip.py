from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yolotrt.data.fetch.rangezip import MAX_MEMBER, open_archive, open_local, unpack
from yolotrt.errors import ArtifactError

NAMES = st.text("abcdeé/._-", min_size=1, max_size=12).filter(lambda name: not name.endswith("/"))


def archived(members: dict[str, bytes], method: int, comment: bytes = b"") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def opened(data: bytes, reads: list[tuple[int, int]] | None = None):
    def read(offset: int, length: int) -> bytes:
        assert offset >= 0
        assert offset + length <= len(data)
        if reads is not None:
            reads.append((offset, length))
        return data[offset : offset + length]

    return open_archive("test.zip", read, len(data))


def content(archive, name: str) -> bytes:
    member = archive.member(name)
    return b"".join(unpack(archive, member, archive.chunks(member)))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.dictionaries(NAMES, st.binary(max_size=3000), max_size=6),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=60),
)
def test_every_member_of_any_archive_is_read(members, method, comment) -> None:
    archive = opened(archived(members, method, comment))
    assert {name: content(archive, name) for name in archive.members} == members


def test_a_member_in_pieces_of_one_byte_is_unpacked() -> None:
    archive = opened(archived({"a": b"many words " * 500}, zipfile.ZIP_DEFLATED))
    member = archive.member("a")
    pieces = (bytes([byte]) for byte in b"".join(archive.chunks(member)))
    assert b"".join(unpack(archive, member, pieces)) == b"many words " * 500


def test_only_the_end_and_the_member_are_read() -> None:
    data = archived({"big": bytes(3_000_000), "small": b"x" * 500}, zipfile.ZIP_STORED)
    reads: list[tuple[int, int]] = []
    assert content(opened(data, reads), "small") == b"x" * 500
    assert sum(length for _, length in reads) < 70_000
    assert len(reads) == 4


def test_a_directory_longer_than_the_tail_takes_one_more_read() -> None:
    members = {f"val2017/{i:012d}.jpg": b"x" for i in range(1500)}
    reads: list[tuple[int, int]] = []
    archive = opened(archived(members, zipfile.ZIP_STORED), reads)
    assert set(archive.members) == set(members)
    assert len(reads) == 2


def test_zip64_records_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    # zipfile writes ZIP64 fields for whatever is above its limits, so low limits give small ZIP64 archives.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 1)
    members = {"one": bytes(5000), "two": b"a" * 300, "three": b""}
    data = archived(members, zipfile.ZIP_DEFLATED)
    assert b"PK\x06\x06" in data
    archive = opened(data)
    assert {name: content(archive, name) for name in archive.members} == members


def test_a_bomb_stops_at_the_declared_size() -> None:
    data = bytearray(archived({"bomb": bytes(50_000_000)}, zipfile.ZIP_DEFLATED))
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 1000)
    archive = opened(bytes(data))
    member = archive.member("bomb")
    given_out: list[int] = []
    with pytest.raises(ArtifactError, match="longer than its directory says"):
        given_out.extend(len(piece) for piece in unpack(archive, member, archive.chunks(member)))
    assert sum(given_out) <= 1000


def test_sizes_beyond_the_limits_are_refused_unread() -> None:
    data = bytearray(archived({"huge": b"x"}, zipfile.ZIP_STORED))
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, MAX_MEMBER + 1)
    with pytest.raises(ArtifactError, match="larger than"):
        opened(bytes(data)).member("huge")


def test_encrypted_and_exotic_members_are_refused() -> None:
    data = bytearray(archived({"a": b"x", "b": b"y"}, zipfile.ZIP_BZIP2))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive = opened(bytes(data))
    for name in "ab":
        with pytest.raises(ArtifactError, match="encrypted or compressed by method"):
            archive.member(name)


def test_a_local_header_of_another_file_is_refused() -> None:
    data = bytearray(archived({"aa": b"x"}, zipfile.ZIP_STORED))
    data[30:32] = b"bb"
    with pytest.raises(ArtifactError, match="names another file"):
        content(opened(bytes(data)), "aa")


def test_a_name_that_is_there_twice_is_refused() -> None:
    data = archived({"aa": b"x", "bb": b"y"}, zipfile.ZIP_STORED).replace(b"bb", b"aa")
    with pytest.raises(ArtifactError, match="two files named aa"):
        opened(data)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip archive at all" * 50, b"PK\x05\x06" + bytes(10)])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError, match="not a usable zip archive"):
        opened(data)


def test_a_changed_byte_of_content_is_found(tmp_path) -> None:
    data = bytearray(archived({"a": b"abc" * 100}, zipfile.ZIP_STORED))
    data[data.index(b"abcabc") + 50] ^= 1
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="CRC-32"):
        content(open_local(path), "a")


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.data())
def test_damaged_archives_never_crash_or_give_wrong_content(data) -> None:
    members = {"annotations/instances.json": b"[1, 2, 3]" * 40, "other": bytes(100)}
    raw = bytearray(archived(members, data.draw(st.sampled_from([0, 8]))))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    try:
        archive = opened(bytes(raw))
        found = {name: content(archive, name) for name in archive.members}
    except ArtifactError:
        return
    for name, got in found.items():
        if name in members:
            assert zlib.crc32(got) == archive.members[name].crc32
