"""Make a folder hold a subset of COCO val2017.

The annotations decide which images; a plan says what is missing; then that is fetched. What the folder
held before stays usable until everything new has arrived: only then are images moved or removed and the
annotations replaced. A run that dies leaves a manifest from which the next one carries on.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from yolotrt.artifacts.files import exclusive, mapped_os_errors, write_bytes
from yolotrt.artifacts.hashing import sha256_bytes
from yolotrt.data.coco.check import Proof
from yolotrt.data.coco.instances import CocoImage, Instances, prune
from yolotrt.data.coco.layout import TYPICAL_IMAGE, base_url
from yolotrt.data.coco.ledger import Ledger
from yolotrt.data.coco.manifest import (
    NAME,
    SPLITS,
    Entry,
    Manifest,
    image_file,
    instances_file,
    read_manifest,
)
from yolotrt.data.coco.origin import load_instances, open_source, tidy
from yolotrt.data.coco.plan import Plan, foreign_files, make_plan, require_own
from yolotrt.data.coco.request import (
    FetchProgress,
    FetchWatch,
    SubsetPart,
    SubsetRequest,
    SubsetResult,
    unwatched,
    ways_out,
)
from yolotrt.data.coco.select import Split, available, choose, split
from yolotrt.data.coco.source import CocoSource, require_space
from yolotrt.data.coco.transfer import Arrived, Missing, bring_images
from yolotrt.data.coco.verify import answers, intact
from yolotrt.data.fetch.http import TransferSettings
from yolotrt.data.fetch.response import TransferFailed
from yolotrt.errors import DownloadError, YoloTrtError

WORK = ".source"
"""Folder for partial files and the complete annotations; images are never looked for in hidden folders."""

_CONTINUES = "What arrived is kept: the same command continues. Another server: YOLOTRT_COCO_URL=URL."


@dataclass(frozen=True)
class _Run:
    """What all steps of one download share."""

    request: SubsetRequest
    source: CocoSource
    earlier: Manifest | None
    watch: FetchWatch
    settings: TransferSettings
    stop: threading.Event
    tell: Callable[[str], None]

    @property
    def folder(self) -> Path:
        return self.request.folder

    @property
    def work(self) -> Path:
        return self.request.folder / WORK


def fetch_subset(
    request: SubsetRequest,
    watch: FetchWatch = unwatched,
    *,
    on_wait: Callable[[str], None] = lambda _message: None,
    settings: TransferSettings | None = None,
) -> SubsetResult:
    """Make ``request.folder`` hold exactly the images asked for, fetching only what is missing.

    Args:
        request: The subset.
        watch: Told about progress, always in the calling thread.
        on_wait: Told once when another process works on the same folder, and when the source has fewer
            images than asked for and that will do.
        settings: Patience and parallelism of transfers.

    Returns:
        The complete subset; every image was compared with its checksum, or at least decoded.

    Raises:
        UsageError: A number, class or URL makes no sense.
        InputError: The source or its annotations cannot be used, or the manifest is damaged.
        DownloadError: Something could not be fetched; what arrived is kept for the next run.
        StorageError: Disk full, no permission, or files in the folder that no download of ours wrote.
    """
    request.check()
    settings = settings or TransferSettings()
    folder, base = request.folder, base_url(request.base_url)
    with exclusive(folder / NAME, on_wait):
        earlier = read_manifest(folder) if (folder / NAME).exists() else None
        if earlier and answers(earlier, request, base) and intact(folder, earlier, watch):
            return _result(request, earlier)
        stop = threading.Event()
        with contextlib.closing(open_source(base, settings, stop)) as source:
            try:
                return _complete(_Run(request, source, earlier, watch, settings, stop, on_wait))
            except TransferFailed as exc:
                if exc.why != "unreachable":
                    raise DownloadError(exc.message, hint=exc.hint or _CONTINUES) from exc
                message = f"{base} cannot be reached. {exc.message}"
                raise DownloadError(message, hint=ways_out(request)) from exc


def _complete(run: _Run) -> SubsetResult:
    with mapped_os_errors(run.work):
        run.work.mkdir(parents=True, exist_ok=True)
    earlier = run.earlier if run.earlier and run.earlier.source == run.source.base else None
    instances, digest = load_instances(
        run.source,
        run.work,
        earlier.annotations_sha256 if earlier else None,
        lambda done, total: run.watch(FetchProgress("annotations", bytes=done, total_bytes=total)),
    )
    for note in instances.notes:
        run.tell(note)
    request = run.request.of(available(instances, run.request.classes))
    if request is not run.request:
        run.tell(f"{run.source.base} has only {request.images:,} images: all of them are taken.")
        run = replace(run, request=request)
    chosen = choose(instances, request.images, request.seed, request.classes)
    splits = split(chosen, request.calib_split)
    wanted = _entries(run.source, chosen, splits, annotations=request.annotations)
    plan, proofs = _plan(run, wanted)
    parts = list(zip(chosen, splits, strict=True))
    if not request.overwrite:
        annotations = _annotations(request, instances, parts)
        require_own(run.folder, run.earlier, plan, {instances_file(part): data for part, data in annotations})
    ledger = Ledger(run.folder, Manifest(request.choice(), run.source.base, digest, False, ()), wanted, plan)
    if plan.fetch:
        sizes = [proofs[e.name].size if e.name in proofs else TYPICAL_IMAGE for e in plan.fetch]
        require_space(run.work, sum(sizes))
        ledger.save()
        _transfer(run, plan, proofs, sum(sizes), ledger)
    removed = _switch(run, plan, ledger, instances, parts)
    manifest = ledger.finish()
    tidy(run.source, run.work)
    return _result(request, manifest, plan, removed, run.source.received)


def _entries(
    source: CocoSource, chosen: Sequence[CocoImage], splits: Sequence[Split], *, annotations: bool
) -> list[Entry]:
    """Return all files of the subset: images in the order of choice, then annotations."""
    entries = [
        Entry(image_file(part, image.name), part, source.url(image.name), image.size_wh)
        for image, part in zip(chosen, splits, strict=True)
    ]
    parts = [part for part in SPLITS if part in splits] if annotations else []
    return entries + [Entry(instances_file(part), part, source.base, None) for part in parts]


def _plan(run: _Run, wanted: Sequence[Entry]) -> tuple[Plan, Mapping[str, Proof]]:
    """Plan; ask the source for checksums only if something has to be fetched or was never recorded."""

    def watch(done: int, total: int) -> None:
        run.watch(FetchProgress("checking", files=done, total_files=total))

    plan = make_plan(run.folder, wanted, run.earlier, {}, watch)
    if not plan.fetch and not plan.adopted:
        return plan, {}
    run.watch(FetchProgress("checksums"))
    proofs = run.source.proofs()
    if plan.adopted and proofs:
        plan = make_plan(run.folder, wanted, run.earlier, proofs, watch)
    return plan, proofs


def _annotations(
    request: SubsetRequest, instances: Instances, chosen: Sequence[tuple[CocoImage, Split]]
) -> Iterator[tuple[Split, bytes]]:
    """Yield each part that has annotations, and what their file holds."""
    for part in SPLITS if request.annotations else ():
        if images := [image for image, own in chosen if own == part]:
            yield part, json.dumps(prune(instances, images)).encode()


def _transfer(run: _Run, plan: Plan, proofs: Mapping[str, Proof], total: int, ledger: Ledger) -> None:
    """Fetch what the plan says; the ledger is saved however this ends.

    Raises:
        DownloadError: Some images are missing, or the server cannot be reached any more.
    """
    missing: list[Missing] = []
    files, size, unreachable = 0, 0, 0
    connections = run.settings.connections
    events = bring_images(run.source, run.folder, run.work, plan.fetch, proofs, connections, run.stop)
    try:
        for event in events:
            if isinstance(event, int):
                size += event
            elif isinstance(event, Arrived):
                ledger.record(event.entry)
                files, unreachable = files + 1, 0
            else:
                missing.append(event)
                unreachable = unreachable + 1 if event.why == "unreachable" else 0
                if unreachable >= min(connections, len(plan.fetch)):
                    raise TransferFailed(event.reason, why="unreachable")
            run.watch(FetchProgress("images", files, len(plan.fetch), size, total))
    except BaseException:
        events.close()
        with contextlib.suppress(YoloTrtError, OSError):
            ledger.save()
        raise
    if missing:
        ledger.save()
        raise _incomplete(missing, len(plan.fetch))


def _incomplete(missing: Sequence[Missing], total: int) -> DownloadError:
    shown = " ".join(sorted(m.reason for m in missing)[:3])
    more = f" (and {len(missing) - 3} more)" if len(missing) > 3 else ""
    return DownloadError(f"{len(missing)} of {total} images are missing. {shown}{more}", hint=_CONTINUES)


def _switch(
    run: _Run,
    plan: Plan,
    ledger: Ledger,
    instances: Instances,
    chosen: Sequence[tuple[CocoImage, Split]],
) -> tuple[str, ...]:
    """Turn the folder from what it held to the new subset, once every image is there."""
    for move in plan.moves:
        target = run.folder / move.entry.file
        with mapped_os_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            (run.folder / move.origin).replace(target)
    removed = []
    for entry in plan.stale:
        path = run.folder / entry.file
        if path.is_file():
            with mapped_os_errors(path):
                path.unlink()
            removed += [entry.file] if entry.size_wh else []
    for part, data in _annotations(run.request, instances, chosen):
        path = run.folder / instances_file(part)
        if not path.is_file() or path.read_bytes() != data:
            write_bytes(path, data)
        entry = Entry(instances_file(part), part, run.source.base, None)
        ledger.record(entry.arrived(len(data), sha256_bytes(data), None))
    return tuple(removed)


def _result(
    request: SubsetRequest,
    manifest: Manifest,
    plan: Plan | None = None,
    removed: tuple[str, ...] = (),
    received: int = 0,
) -> SubsetResult:
    """Describe a complete subset; without a plan, nothing had to be done."""
    folder = request.folder
    images = [entry for entry in manifest.files if entry.size_wh]
    listed = {entry.file for entry in manifest.files}
    parts = []
    for part in SPLITS:
        count = sum(entry.split == part for entry in images)
        annotations = folder / instances_file(part) if instances_file(part) in listed else None
        if count:
            parts.append(SubsetPart(part, folder / image_file(part, ""), annotations, count))
    fetched = len(plan.fetch) if plan else 0
    return SubsetResult(
        folder=folder,
        manifest=folder / NAME,
        source=manifest.source,
        parts=tuple(parts),
        bytes=sum(entry.bytes or 0 for entry in images),
        fetched=fetched,
        kept=len(images) - fetched,
        received=received,
        repaired=plan.damaged if plan else (),
        removed=removed,
        foreign_files=foreign_files(folder, manifest.files),
        unproven=sum(entry.checked_by == "structure" for entry in images),
    )
