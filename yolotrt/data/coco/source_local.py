"""COCO from a folder laid out like its server, or from the archives it publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from yolotrt.artifacts.files import atomic_target, mapped_os_errors, require_file, strange_kind
from yolotrt.data.coco.check import Proof, image_proofs
from yolotrt.data.coco.layout import ANNOTATIONS_ARCHIVE, IMAGES, IMAGES_ARCHIVE, INSTANCES
from yolotrt.data.coco.source import Watch, require_space
from yolotrt.data.fetch.partial import Partial
from yolotrt.data.fetch.rangezip import CHUNK, MAX_MEMBER, Archive, open_local, unpack
from yolotrt.errors import InputError


class LocalSource:
    """Images and annotations on this machine.

    Args:
        path: A folder with ``val2017/`` or ``val2017.zip``, and ``annotations/`` or
            ``annotations_trainval2017.zip``; or one archive, beside which the other one is looked for.
        base: What to call it in manifests; the path if None.

    Raises:
        InputError: Nothing is there.
        ArtifactError: An archive is damaged.
    """

    remote = False
    received = 0

    def __init__(self, path: Path, base: str | None = None) -> None:
        if not path.exists():
            raise InputError(
                f"{path} does not exist.", hint="Name a folder or a zip archive with COCO val2017, or a URL."
            )
        if strange := strange_kind(path):
            raise InputError(f"{path} is {strange}.", hint="Name a folder or a zip archive.")
        self.base = (base or str(path)).rstrip("/")
        self._path = path
        folder = path if path.is_dir() else path.parent
        self._root = path if path.is_dir() else None
        known = [folder / name for name in (IMAGES_ARCHIVE, ANNOTATIONS_ARCHIVE)]
        candidates = [path, *known, *(folder / archive.name for archive in known)]
        self._archives = [open_local(p) for p in dict.fromkeys(candidates) if p.is_file()]

    def url(self, name: str) -> str:
        """Return the path of an image; inside an archive, ``ARCHIVE/val2017/NAME``."""
        return self._place(f"{IMAGES}/{name}")

    def instances(self, target: Path, work: Path, watch: Watch) -> str:
        """Copy or unpack the instances JSON; see :meth:`Source.instances`.

        Raises:
            InputError: It is not there or cannot be read.
            ArtifactError: It is damaged, or larger than any such file.
            StorageError: It cannot be written.
        """
        size, chunks = self._open(INSTANCES, MAX_MEMBER)
        require_space(work, size)
        with atomic_target(target) as temporary, temporary.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                watch(stream.tell(), size)
        return self._place(INSTANCES)

    def proofs(self) -> Mapping[str, Proof]:
        """Return what the archives say of the images."""
        found: dict[str, Proof] = {}
        for archive in self._archives:
            found |= image_proofs(archive)
        return found

    def image(self, name: str, limit: int, partial: Partial, moved: Callable[[int], None]) -> str | None:
        """Copy or unpack one image.

        Raises:
            InputError: It is not there, cannot be read, or is too large.
            ArtifactError: It is damaged in its archive.
            StorageError: It cannot be written.
        """
        moved(-partial.size)
        partial.discard()
        _, chunks = self._open(f"{IMAGES}/{name}", limit)
        with mapped_os_errors(partial.path), partial.path.open("wb") as stream:
            for chunk in chunks:
                stream.write(chunk)
                moved(len(chunk))
        return None

    def close(self) -> None:
        """Do nothing; files are only open while they are read."""

    def _open(self, name: str, limit: int) -> tuple[int, Iterator[bytes]]:
        """Return the size and the bytes of a file of the folder, or of a member of an archive."""
        file = self._file(name)
        if file is not None:
            size, chunks = file.stat().st_size, _file_chunks(require_file(file, "a readable file"))
        else:
            archive = self._archive(name)
            if archive is None:
                raise InputError(
                    f"{self.base} has no {name}.",
                    hint="It should be laid out like COCO's server, or hold the archives COCO publishes: "
                    "val2017.zip and annotations_trainval2017.zip.",
                )
            member = archive.member(name)
            size, chunks = member.size, unpack(archive, member, archive.chunks(member))
        if size > limit:
            raise InputError(f"{name} in {self.base} is {size:,} bytes; at most {limit:,} make sense.")
        return size, chunks

    def _place(self, name: str) -> str:
        archive = None if self._file(name) else self._archive(name)
        return f"{archive.label if archive else self._path}/{name}"

    def _file(self, name: str) -> Path | None:
        path = self._root / name if self._root else None
        return path if path is not None and path.is_file() else None

    def _archive(self, name: str) -> Archive | None:
        return next((archive for archive in self._archives if name in archive.members), None)


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk
