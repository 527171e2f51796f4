"""What verbs write, where they may, and the files that are made from a result: a page, Markdown and CSV."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import say
from yolotrt.cli.options import CALIB_DATA, ENGINES
from yolotrt.text import shell_words

if TYPE_CHECKING:
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.kinds import Kind
    from yolotrt.bench.result import RunResult
    from yolotrt.workflow.accuracy_file import EngineFigures

Html = Annotated[
    Path | None,
    typer.Option("--html", help="Also write a page to read, print and pass on; needs no network."),
]
Markdown = Annotated[Path | None, typer.Option("--markdown", help="Also write the tables as Markdown.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", help="Also write one row per case with flat metric names.")
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Also replace files that this command did not write; never an input."),
]


def claim_outputs(
    outputs: Sequence[Output | None],
    *inputs: Path | str | Iterable[Path] | None,
    overwrite: bool,
    folders: Iterable[tuple[str, Path]] = (),
) -> None:
    """Find out before long work whether its results can be written, and that nothing of the user's is lost.

    Args:
        outputs: Files that will be written; None is passed over.
        inputs: What is read; None and what is no path, such as ``scene``, are passed over. With an engine
            goes its sidecar, with a ``data.yaml`` the images and labels that it names.
        overwrite: As in :func:`yolotrt.artifacts.claims.claim`.
        folders: Folders that will get files, and files in them, by their options.

    Raises:
        UsageError: An output is an input or another output.
        StorageError: One of them cannot be written, or would replace something else.
    """
    from yolotrt.artifacts.claims import claim, require_apart
    from yolotrt.backends.sidecar import sidecar_path

    read: list[Path] = []
    for one in inputs:
        if one is not None:
            read += [Path(one)] if isinstance(one, (str, Path)) else one
    read += [sidecar_path(path) for path in read if path.name]
    if overwrite:  # else nothing foreign is replaced anyway
        read += [folder for path in read for folder in _image_folders(path)]
    used = list(folders)
    for option, path in used:
        require_apart(option, path, read)
    claim([output for output in outputs if output], read, overwrite=overwrite, folders=used)


def _image_folders(path: Path) -> set[Path]:
    """Return the folders of the images and labels that a ``data.yaml`` names; none of anything else."""
    from yolotrt.data.formats.reader import SPLITS, names_images
    from yolotrt.data.formats.yolo_files import find_split, label_files
    from yolotrt.errors import YoloTrtError

    found: set[Path] = set()
    for split in SPLITS if names_images(path) else ():
        with suppress(YoloTrtError):  # the verb says what is wrong with it
            images = find_split(path, split).images
            found |= {image.parent for image in images}
            found |= {label.parent for label in label_files(images)}
    return found


def in_folder(option: str, folder: Path | None) -> list[tuple[str, Path]]:
    """Return a folder for annotated pictures and what it will hold, for :func:`claim_outputs`."""
    if folder is None:
        return []
    from yolotrt.data.formats.coco import FILE_NAME

    inside = [(f"the annotations in {option}", folder / FILE_NAME)]
    return [(option, folder), (f"the pictures in {option}", folder / "images"), *inside]


def made_of(model: Path, *, engine: bool) -> list[tuple[str, Path]]:
    """Return what a model is made into under default names, for :func:`claim_outputs`.

    Args:
        model: Weights or an ONNX file.
        engine: Whether the engine has its default name, too.
    """
    from typing import get_args

    from yolotrt.backends.base import Precision
    from yolotrt.backends.names import NAMES
    from yolotrt.backends.registry import engine_endings
    from yolotrt.backends.sidecar import sidecar_path
    from yolotrt.workflow.build import calibration_cache

    found = [("the calibration", calibration_cache(model, CALIB_DATA))]
    if model.suffix.lower() != ".onnx":
        found.append(("the exported network", ENGINES / f"{model.stem}.onnx"))
    for name in NAMES if engine else ():
        for precision in get_args(Precision):
            for ending in engine_endings(name):
                path = ENGINES / f"{model.stem}.{precision}{ending}"
                found += [("the engine", path), ("the engine's sidecar", sidecar_path(path))]
    return found


def timing_outputs(cache: Path | None, backend: str) -> list[Output]:
    """Return the files that ``--timing-cache`` stands for, with every backend that may be chosen."""
    from yolotrt.artifacts.claims import Output
    from yolotrt.backends.names import NAMES
    from yolotrt.backends.registry import backend as backend_named

    names = NAMES if backend == "auto" else (backend,)
    kept = [backend_named(name).timings(cache) for name in names if cache]
    by_path = {entry[0]: entry[1] for entry in kept if entry is not None}
    return [Output("--timing-cache", path, kind) for path, kind in by_path.items()]


def json_output(target: str | None, kind: Kind) -> Output | None:
    """Return what ``--json`` writes; None for nothing and for stdout."""
    from yolotrt.artifacts.claims import Output

    return None if target in (None, "-") else Output("--json", Path(str(target)), kind)


def page_outputs(
    html: Path | None, markdown: Path | None, csv: Path | None, junit: Path | None = None
) -> list[Output]:
    """Return what :func:`write_outputs` will write."""
    from yolotrt.artifacts.claims import Output
    from yolotrt.artifacts.kinds import HTML, JUNIT, MARKDOWN
    from yolotrt.report.spreadsheet import CSV

    wanted = (
        ("--html", html, HTML),
        ("--markdown", markdown, MARKDOWN),
        ("--csv", csv, CSV),
        ("--junit", junit, JUNIT),
    )
    return [Output(option, path, kind) for option, path, kind in wanted if path is not None]


def write_outputs(
    results: Sequence[RunResult],
    *,
    html: Path | None,
    markdown: Path | None,
    csv: Path | None,
    junit: Path | None = None,
    accuracy: Sequence[EngineFigures] = (),
) -> None:
    """Write what was asked for, and say where it is.

    Raises:
        StorageError: A file cannot be written.
    """
    from yolotrt.artifacts.files import write_text

    if html is not None:
        from yolotrt.report.page import page

        say(f"page: {write_text(html, page(results, accuracy))}")
    if markdown is not None:
        from yolotrt.report.markdown import result_markdown

        write_markdown(markdown, "\n".join(result_markdown(result) for result in results))
    if csv is not None:
        from yolotrt.report.spreadsheet import to_csv

        say(f"CSV: {write_text(csv, to_csv(results))}")
    if junit is not None:
        from yolotrt.report.junit import budgets_junit

        write_junit(junit, budgets_junit(results))


def write_junit(target: Path, text: str) -> None:
    """Write JUnit XML, and say where it is.

    Raises:
        StorageError: It cannot be written.
    """
    from yolotrt.artifacts.files import write_text

    say(f"JUnit: {write_text(target, text)}")


def write_markdown(target: Path, text: str) -> None:
    """Write Markdown with the mark by which it is known to be ours, and say where it is.

    Raises:
        StorageError: It cannot be written.
    """
    from yolotrt.artifacts.files import write_text
    from yolotrt.artifacts.kinds import MARKDOWN_MARK

    write_text(target, f"{MARKDOWN_MARK}\n{text}")
    say(f"Markdown: {target}")


def own_predictions(
    inputs: Sequence[Path | str | None],
    save: Path | None,
    files: Sequence[tuple[str, Path]],
    *,
    overwrite: bool,
) -> AbstractContextManager[None]:
    """Make sure of what predictions will be written to; in its block they may be written.

    Args:
        inputs: Engine, source, and what else is read.
        save: Folder for drawn pictures and videos, or labels alone.
        files: JSON files that will be written, by their options.
        overwrite: As in :func:`claim_outputs`.

    Raises:
        UsageError: An output is an input or another output, or the folder is called like a picture.
        StorageError: One of them cannot be written, or would replace or mix with something else.
    """
    if save is None and not files:
        return nullcontext()
    from yolotrt.artifacts.claims import Output, require_apart
    from yolotrt.artifacts.files import real
    from yolotrt.artifacts.folders import (
        DRAWN,
        by_list,
        foreign_files,
        outside,
        owning,
        owning_file,
        with_ending,
    )
    from yolotrt.artifacts.kinds import Kind, is_json
    from yolotrt.data.images import EXTENSIONS
    from yolotrt.data.video_writer import CODECS
    from yolotrt.errors import UsageError

    if save is not None and save.suffix.lower() in (*EXTENSIONS, *CODECS) and not save.is_dir():
        raise UsageError(
            f"--save names a folder, and {save} is called like a file.",
            hint=f"Type --save {shell_words(str(save.with_suffix('')))}/; files keep their names there. "
            "One video to a file of your naming: yolotrt run ENGINE VIDEO --drop block --save FILE",
        )
    maker, lister = DRAWN, f"{DRAWN} --json"
    listed = by_list(f"what {DRAWN} wrote", lister)
    kind = Kind(listed.what, lambda path: listed.is_own(path) and is_json(path))
    outputs = [Output(option, path, kind) for option, path in files]
    folders = [] if save is None else [("--save", save)]
    claim_outputs(outputs, *inputs, overwrite=overwrite, folders=folders)
    # They were judged just now, and an empty file is nothing to lose.
    owned = [owning_file(path, lister, option=option, overwrite=True) for option, path in files]
    if save is None:
        return _all_of(owned)
    watched = with_ending(*EXTENSIONS, *CODECS, ".txt")
    for read in (Path(one) for one in inputs if one is not None):
        if os.path.isdir(read) and real(read).is_relative_to(real(save)):
            # Pictures of a subfolder go beside it, unless it holds one of its own name again.
            within = real(read).relative_to(real(save))
            watched = watched if (read / within.parts[0]).exists() else outside(watched, read)
    for path in foreign_files(save, maker, watched) if overwrite else ():
        for read in (Path(one) for one in inputs if one is not None):
            lies_in_it = os.path.isdir(read) and real(path).is_relative_to(real(read))
            require_apart("--save", path, [path if lies_in_it else read])
    return _all_of([*owned, owning(save, maker, watched, option="--save", overwrite=overwrite)])


@contextmanager
def _all_of(managers: Iterable[AbstractContextManager[None]]) -> Iterator[None]:
    with ExitStack() as stack:
        for manager in managers:
            stack.enter_context(manager)
        yield
