"""COCO from its server or a mirror of it, fetching no more than is needed.

Of the annotation archive (250 MB) only one member travels, by range requests. The directory of the image
archive (half a megabyte of 800) gives every image's size and CRC-32, the only checksums that COCO
publishes; a mirror without that archive still works, with weaker checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import httpx

from yolotrt.artifacts.files import atomic_target
from yolotrt.data.coco.check import Proof, image_proofs
from yolotrt.data.coco.layout import ANNOTATIONS_ARCHIVE, IMAGES, IMAGES_ARCHIVE, INSTANCES
from yolotrt.data.coco.source import TRIES, Watch, require_space
from yolotrt.data.fetch.http import Http
from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.rangezip import MAX_MEMBER, Archive, open_archive, open_local, unpack
from yolotrt.data.fetch.response import Piece, Resource, TransferFailed
from yolotrt.data.fetch.resume import Moved
from yolotrt.errors import ArtifactError, DownloadError, UsageError

T = TypeVar("T")

_MAX_ARCHIVE = 2 << 30
_ABSENT = (403, 404, 410)
"""How servers say that a file is not there; a bucket that may not be listed says 403."""


class HttpSource:
    """A server laid out like COCO's.

    Args:
        base: Its URL, http or https.
        http: Makes the requests; the source closes it.

    Raises:
        UsageError: The URL cannot be used.
    """

    remote = True

    def __init__(self, base: str, http: Http) -> None:
        try:
            url = httpx.URL(base)
        except (httpx.InvalidURL, UnicodeError) as exc:
            raise UsageError(f"{base!r} is not a URL ({exc}).") from exc
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment:
            raise UsageError(
                f"{base!r} cannot be a mirror's base URL.", hint="Like this: --base-url http://mirror/coco"
            )
        self.base = base.rstrip("/")
        self._http = http

    @property
    def received(self) -> int:
        """Bytes of bodies that arrived so far."""
        return self._http.received

    def url(self, name: str) -> str:
        """Return the URL of an image."""
        return f"{self.base}/{IMAGES}/{name}"

    def instances(self, target: Path, work: Path, watch: Watch) -> str:
        """Fetch the instances JSON: one member of the archive, the whole archive, or the plain file.

        See :meth:`Source.instances`.

        Raises:
            DownloadError: The server does not have it, or kept failing.
            StorageError: It cannot be written.
        """
        return _repeated(lambda: self._instances_once(target, work, watch))

    def proofs(self) -> Mapping[str, Proof]:
        """Return sizes and checksums from the image archive's directory.

        Nothing if the server does not have that archive, or not in parts. An archive that is there but
        damaged is an error: images would be accepted that its checksums refuse.

        Raises:
            DownloadError: The directory is damaged, or could not be fetched.
        """
        return _repeated(self._proofs_once)

    def image(self, name: str, limit: int, partial: Partial, moved: Moved) -> str | None:
        """Fetch one image; see :meth:`Source.image`.

        Raises:
            TransferFailed: It is not there, or the server kept failing.
            StorageError: It cannot be written.
        """
        return self._http.download(self.url(name), partial, moved, limit=limit).md5

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _proofs_once(self) -> Mapping[str, Proof]:
        url = f"{self.base}/{IMAGES_ARCHIVE}"
        try:
            resource = self._http.probe(url)
        except TransferFailed as exc:
            if exc.status not in _ABSENT:
                raise
            return {}
        return image_proofs(self._remote(url, resource)) if resource.ranges and resource.total else {}

    def _instances_once(self, target: Path, work: Path, watch: Watch) -> str:
        url = f"{self.base}/{ANNOTATIONS_ARCHIVE}"
        try:
            resource = self._http.probe(url)
        except TransferFailed as exc:
            if exc.status not in _ABSENT:
                raise
            self._plain_file(target, work, watch)
            return f"{self.base}/{INSTANCES}"
        if resource.ranges and resource.total:
            self._one_member(url, resource, target, work, watch)
        else:
            self._whole_archive(url, resource, target, work, watch)
        return f"{url}/{INSTANCES}"

    def _one_member(self, url: str, resource: Resource, target: Path, work: Path, watch: Watch) -> None:
        archive = self._remote(url, resource)
        member = archive.member(INSTANCES)
        piece = Piece(resource, archive.data_offset(member), member.compressed)
        partial = Partial(work / "instances.part")
        require_space(work, member.compressed - partial.size + member.size)
        moved = _adding_up(partial, member.compressed, watch)
        self._http.download(url, partial, moved, limit=member.compressed, piece=piece)
        try:
            _write(target, unpack(archive, member, _chunks(partial.path)))
        finally:
            partial.discard()

    def _whole_archive(self, url: str, resource: Resource, target: Path, work: Path, watch: Watch) -> None:
        total = resource.total or 0
        partial = Partial(work / "annotations.part")
        require_space(work, total - partial.size)
        moved = _adding_up(partial, total, watch)
        self._http.download(url, partial, moved, limit=resource.total or _MAX_ARCHIVE)
        try:
            archive = open_local(partial.path)
            member = archive.member(INSTANCES)
            require_space(work, member.size)
            _write(target, unpack(archive, member, archive.chunks(member)))
        finally:
            partial.discard()

    def _plain_file(self, target: Path, work: Path, watch: Watch) -> None:
        partial = Partial(work / "instances.part")
        moved = _adding_up(partial, 0, watch)
        try:
            self._http.download(f"{self.base}/{INSTANCES}", partial, moved, limit=MAX_MEMBER)
        except TransferFailed as exc:
            if exc.status not in _ABSENT:
                raise
            raise DownloadError(
                f"{self.base} has neither {ANNOTATIONS_ARCHIVE} nor {INSTANCES} (HTTP {exc.status}).",
                hint="A mirror must be laid out like http://images.cocodataset.org.",
            ) from exc
        with atomic_target(target) as temporary:
            partial.settle(temporary)

    def _remote(self, url: str, resource: Resource) -> Archive:
        def read(offset: int, length: int) -> bytes:
            return self._http.read(url, Piece(resource, offset, length))

        return open_archive(url, read, resource.total or 0)


def _repeated(attempt: Callable[[], T]) -> T:
    """Try again when what arrived is damaged, or when the file changed under the hands."""
    left = TRIES
    while True:
        left -= 1
        try:
            return attempt()
        except (ArtifactError, TransferFailed) as exc:
            if isinstance(exc, TransferFailed) and exc.why != "changed":
                raise
            if not left:
                raise DownloadError(exc.message, hint="Try another server: YOLOTRT_COCO_URL=URL.") from exc


def _adding_up(partial: Partial, total: int, watch: Watch) -> Moved:
    arrived = partial.size

    def moved(count: int) -> None:
        nonlocal arrived
        arrived += count
        watch(arrived, total)

    return moved


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            yield chunk


def _write(target: Path, chunks: Iterator[bytes]) -> None:
    with atomic_target(target) as temporary, temporary.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
