"""Check a subset against its manifest, without any network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yolotrt.data.coco.layout import base_url
from yolotrt.data.coco.manifest import NAME, Manifest, read_manifest
from yolotrt.data.coco.plan import foreign_files, problem_of
from yolotrt.data.coco.request import FetchProgress, FetchWatch, SubsetRequest, unwatched
from yolotrt.errors import InputError
from yolotrt.text import shell_words


@dataclass(frozen=True)
class VerifyResult:
    """What a check found.

    Attributes:
        folder: The subset's folder.
        files: Files that were checked.
        bytes: Their size in all, as the manifest says.
        complete: Whether the download had been finished.
        problems: Files that are not what they should be, and in which way.
        foreign_files: Files in the image folders that are not the subset's.
        unproven: Images that were never compared with a published checksum, only with their structure.
        request: The options the subset was made with.
    """

    folder: Path
    files: int
    bytes: int
    complete: bool
    problems: tuple[tuple[str, str], ...]
    foreign_files: tuple[str, ...]
    unproven: int
    request: dict[str, object]

    @property
    def good(self) -> bool:
        """Whether the subset is complete and every file is as it was when it arrived."""
        return self.complete and not self.problems


def verify_subset(folder: Path, watch: FetchWatch = unwatched) -> VerifyResult:
    """Compare every file of a subset with its recorded length and SHA-256; nothing is changed.

    Raises:
        InputError: There is no manifest, or it is damaged.
    """
    if not (folder / NAME).exists():
        raise InputError(
            f"{folder} holds no subset of COCO: it has no {NAME}.",
            hint=f"Fetch one with: yolotrt download --out {shell_words(str(folder))}",
        )
    manifest = read_manifest(folder)
    problems = []
    for index, entry in enumerate(manifest.files):
        problem = problem_of(folder / entry.file, entry)
        if problem is None and entry.sha256 is None:
            problem = "its arrival was not recorded"
        if problem is not None:
            problems.append((entry.file, problem))
        watch(FetchProgress("checking", files=index + 1, total_files=len(manifest.files)))
    return VerifyResult(
        folder=folder,
        files=len(manifest.files),
        bytes=sum(entry.bytes or 0 for entry in manifest.files),
        complete=manifest.complete,
        problems=tuple(problems),
        foreign_files=foreign_files(folder, manifest.files),
        unproven=sum(entry.checked_by == "structure" for entry in manifest.files),
        request=dict(manifest.request),
    )


def ready(request: SubsetRequest) -> bool:
    """Whether the subset is there already, complete and undamaged: fetching it would bring nothing.

    Raises:
        InputError: Its manifest is damaged.
    """
    if not (request.folder / NAME).exists():
        return False
    manifest = read_manifest(request.folder)
    base = base_url(request.base_url)
    return answers(manifest, request, base) and intact(request.folder, manifest, unwatched)


def answers(manifest: Manifest, request: SubsetRequest, base: str) -> bool:
    """Whether a manifest is that of the complete subset that is asked for."""
    same = dict(manifest.request) == request.choice() and manifest.source == base.rstrip("/")
    return manifest.complete and same


def intact(folder: Path, manifest: Manifest, watch: FetchWatch) -> bool:
    """Whether every file of a complete subset is as recorded."""
    for index, entry in enumerate(manifest.files):
        if problem_of(folder / entry.file, entry) is not None:
            return False
        watch(FetchProgress("checking", files=index + 1, total_files=len(manifest.files)))
    return True
