"""``yolotrt download``: exactly the COCO images needed, verified."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrt.cli.console import Lines, emit_json, say, stderr, talk, tell, warn
from yolotrt.cli.options import CALIB_DATA, JsonTarget
from yolotrt.cli.outputs import Overwrite, claim_outputs, in_folder, json_output
from yolotrt.data.coco.layout import DATASET
from yolotrt.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from yolotrt.data.coco.request import FetchProgress, FetchWatch, SubsetResult
    from yolotrt.data.coco.verify import VerifyResult


def download(
    dataset: Annotated[str, typer.Argument(help="The dataset; coco-val2017 is the only one.")] = DATASET,
    images: Annotated[int, typer.Option("-n", "--images", min=1, help="How many images.")] = 500,
    seed: Annotated[int, typer.Option(help="Another seed gives other images.")] = 0,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Only images that show one of these classes.")
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--output", "--out", help="Folder for the images.")] = CALIB_DATA
    / DATASET,
    annotations: Annotated[
        bool, typer.Option("--annotations/--no-annotations", help="Keep their annotations (instances.json).")
    ] = True,
    calib_split: Annotated[
        int, typer.Option(min=0, metavar="N", help="Set N of the images apart for calibration.")
    ] = 0,
    base_url: Annotated[
        str | None,
        typer.Option(
            envvar="YOLOTRT_COCO_URL",
            metavar="URL|DIR|ZIP",
            help="A mirror, a local folder or an archive. [default: COCO's server]",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check what --out holds; no network.")
    ] = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    """Fetch a part of COCO val2017, balanced over classes and object sizes, without the whole archives.

    The same seed gives the same images on any machine. A second run downloads nothing, a damaged file is
    fetched again, and an interrupted download continues.

    \b
    Examples:
      yolotrt download
      yolotrt download --images 300 --calib-split 100
      yolotrt download --classes person,car --images 200 --out calib_data/street
      yolotrt download --verify
    """  # noqa: D301 - typer needs the control character
    from yolotrt.artifacts.kinds import either
    from yolotrt.workflow.replies import DOWNLOADED, VERIFIED

    if dataset != DATASET:
        raise UsageError(f"There is no dataset {dataset!r}.", hint=f"The dataset is {DATASET}.")
    written = either(DOWNLOADED.kind, VERIFIED.kind)
    places = [*in_folder("--out", out), ("the manifest in --out", out / "manifest.json")]
    claim_outputs([json_output(json, written)], base_url, overwrite=overwrite, folders=places)
    if verify:
        return _verify(out, json)
    from yolotrt.data.coco.request import SubsetRequest
    from yolotrt.data.coco.subset import fetch_subset

    names = tuple(name.strip() for name in (classes or "").split(",") if name.strip())
    request = SubsetRequest(out, images, seed, names, annotations, calib_split, base_url, overwrite=overwrite)
    with transfer_bars() as watch:
        result = fetch_subset(request, watch, on_wait=say)
    _show(result, tell if json != "-" else say)
    emit_json(json, _downloaded(result))
    return None


def _verify(folder: Path, json: str | None) -> None:
    from yolotrt.data.coco.verify import verify_subset

    with transfer_bars() as watch:
        result = verify_subset(folder, watch)
    emit_json(json, _verified(result))
    _warn_foreign(result.foreign_files)
    if not result.good:
        for file, problem in result.problems[:20]:
            say(f"{file}: {problem}")
        state = "" if result.complete else "The download was not finished. "
        raise ArtifactError(
            f"{state}{len(result.problems)} of {result.files} files in {folder} are not what they should be.",
            hint="The download command that made the folder repairs it; it fetches only these files.",
        )
    answer = tell if json != "-" else say
    answer(f"{folder}: {result.files} files, {result.bytes / 1e6:,.1f} MB, all as recorded")


@contextmanager
def transfer_bars() -> Iterator[FetchWatch]:
    """Show files and bytes on stderr while the block runs; a line now and then if it is no terminal."""
    if not sys.stderr.isatty():
        lines = Lines(say)

        def in_lines(progress: FetchProgress) -> None:
            if progress.step in ("annotations", "images"):
                done, total = progress.bytes // 1_000_000, progress.total_bytes // 1_000_000
                lines.report(f"{progress.step}, MB", done, total)
            else:
                lines.report(progress.step, progress.files, progress.total_files)

        yield in_lines
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
    bars = Progress(*columns, TimeRemainingColumn(), console=stderr(), transient=True, disable=talk.quiet)
    steps: dict[str, Any] = {}

    def watch(progress: FetchProgress) -> None:
        if progress.step not in steps:
            for former in steps.values():
                bars.update(former, visible=False)
            steps[progress.step] = bars.add_task(progress.step, counts="")
        in_bytes = progress.step in ("annotations", "images")
        done, total = (
            (progress.bytes, progress.total_bytes) if in_bytes else (progress.files, progress.total_files)
        )
        bars.update(steps[progress.step], completed=done, total=total or None, counts=_counts(progress))

    with bars:
        yield watch


def _counts(progress: FetchProgress) -> str:
    words = [f"{progress.files}/{progress.total_files} files"] if progress.total_files else []
    if progress.bytes:
        whole = f"/{progress.total_bytes / 1e6:.1f}" if progress.total_bytes else ""
        words.append(f"{progress.bytes / 1e6:.1f}{whole} MB")
    return ", ".join(words)


def _show(result: SubsetResult, answer: Callable[[str], None]) -> None:
    _warn_foreign(result.foreign_files)
    if result.repaired:
        say(f"{len(result.repaired)} damaged files were fetched again")
    if result.removed:
        say(f"{len(result.removed)} images of an earlier choice were removed")
    if result.unproven:
        say(
            f"{result.unproven} images came from a source without checksums: "
            "their length, structure and size in px were checked"
        )
    for part in result.parts:
        labels = f", {part.annotations}" if part.annotations else ""
        answer(f"{part.images}: {part.count} images{labels}")
    arrived = f"{result.received / 1e6:,.1f} MB received" if result.received else "nothing received"
    fetched = f"{result.fetched} fetched, {result.kept} were there"
    answer(
        f"{result.bytes / 1e6:,.1f} MB of images ({fetched}; {arrived}), verified; list: {result.manifest}"
    )


def _warn_foreign(files: tuple[str, ...]) -> None:
    if files:
        warn(f"{len(files)} files are not part of the subset, but lie among its images, such as {files[0]}")


def _downloaded(result: SubsetResult) -> dict[str, Any]:
    from yolotrt.workflow.replies import DOWNLOADED, Downloaded, Part

    parts = (
        Part(p.split, str(p.images), str(p.annotations) if p.annotations else None, p.count)
        for p in result.parts
    )
    done = Downloaded(
        folder=str(result.folder),
        manifest=str(result.manifest),
        source=result.source,
        parts=tuple(parts),
        bytes=result.bytes,
        fetched=result.fetched,
        kept=result.kept,
        received_bytes=result.received,
        repaired=result.repaired,
        removed=result.removed,
        foreign_files=result.foreign_files,
        unproven=result.unproven,
    )
    return DOWNLOADED.to_json(done)


def _verified(result: VerifyResult) -> dict[str, Any]:
    from yolotrt.workflow.replies import VERIFIED, Problem, Verified

    done = Verified(
        folder=str(result.folder),
        files=result.files,
        bytes=result.bytes,
        complete=result.complete,
        good=result.good,
        problems=tuple(Problem(file, problem) for file, problem in result.problems),
        foreign_files=result.foreign_files,
        unproven=result.unproven,
        request=result.request,
    )
    return VERIFIED.to_json(done)
