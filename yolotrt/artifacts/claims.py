"""What may be written where: the one rule that keeps files of the user's.

A verb says before its work what it reads and what it will write. Refused is an output that

* is one of the inputs, by whatever spelling, link or hard link, or would replace a file in a folder of
  inputs,
* is another output of the same command,
* has the name of a lock or temporary of ours, or
* is there already and nothing that the same kind of work wrote.

Only the last can be wanted, and ``--overwrite`` says so. What a kind of work wrote itself is replaced as
before, and when two processes write one page or table, the one that ends last wins: both are whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yolotrt.artifacts.files import ensure_writable, mapped_os_errors, real
from yolotrt.artifacts.hidden import is_hidden_name, temporary_file
from yolotrt.artifacts.kinds import Kind
from yolotrt.errors import StorageError, UsageError
from yolotrt.text import shell_words


@dataclass(frozen=True)
class Output:
    """A file that will be written.

    Attributes:
        option: How the user named it, such as ``--json``.
        path: The file.
        kind: What will be written.
    """

    option: str
    path: Path
    kind: Kind


def claim(
    outputs: Sequence[Output],
    inputs: Iterable[Path] = (),
    *,
    overwrite: bool = False,
    folders: Iterable[tuple[str, Path]] = (),
) -> None:
    """Find out before long work whether its results can be written without losing anything.

    Args:
        outputs: What will be written.
        inputs: Files and folders that are read; those that do not exist are passed over.
        overwrite: Also replace files of another kind or of somebody else, but never an input.
        folders: Folders that will get files, by the options that name them; no output may lie in their place.

    Raises:
        UsageError: An output is an input, another output, or a lock.
        StorageError: It is a file that is not ours to replace, or it cannot be written.
    """
    read = [path for path in inputs if os.path.exists(path)]
    taken = [(option, path) for option, path in folders]
    for output in outputs:
        with mapped_os_errors(output.path):
            _require_free(output, read)
            for option, path in taken:
                if is_same(output.path, path):
                    raise UsageError(
                        f"{_both(option, output.option)} name one file, {output.path}: one would be lost.",
                        hint="Give each a name of its own.",
                    )
            taken.append((output.option, output.path))
            require_own(output.path, output.kind, overwrite=overwrite)
    for output in outputs:
        ensure_writable(output.path)


def require_own(target: Path, kind: Kind, *, overwrite: bool = False) -> None:
    """Refuse to replace a file that is not an earlier one of this kind; an empty file is nothing to lose.

    Raises:
        StorageError: It is something else.
    """
    there = real(target)  # also of a name through a folder that is yet to be made
    with mapped_os_errors(target):
        if overwrite or not there.is_file() or there.stat().st_size == 0 or kind.is_own(there):
            return
    raise StorageError(
        f"Cannot write {target}: it is there already and is not {kind.what}.",
        hint="Name another file; or add --overwrite if what is there may go.",
    )


def require_apart(option: str, folder: Path, inputs: Iterable[Path]) -> None:
    """Refuse a folder for results, or a file in one, that is an input.

    Raises:
        UsageError: It is.
    """
    for path in inputs:
        if os.path.exists(path) and is_same(folder, path):
            example = f", such as {option} {shell_words(str(suggested(folder)))}"
            raise UsageError(
                f"{option}, {folder}, is what is read: it would be replaced.",
                hint=f"Choose another folder{example if option.startswith('-') else ''}.",
            )


def suggested(folder: Path) -> Path:
    """Return a free name for a folder of results, beside one that cannot be used."""
    plain = real(folder)
    base = folder.parent / plain.name if plain.name else folder
    count = 1
    while os.path.exists(free := base.with_name(f"{plain.name}-out{count if count > 1 else ''}")):
        count += 1
    return free


def is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, now or once they are written."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        pass
    first, second = real(one), real(other)
    if first == second:
        return True
    if os.path.exists(one) or os.path.exists(other):
        return False
    # Files to be: of names that differ in case only, the folder decides.
    same_name = first.name.casefold() == second.name.casefold()
    return same_name and first.parent == second.parent and _folds_case(first)


def _require_free(output: Output, read: Sequence[Path]) -> None:
    path = output.path
    if is_hidden_name(path):
        raise UsageError(
            f"{output.option} {path} has the name of a lock or temporary file.", hint="Choose another name."
        )
    there = real(path)
    for source in read:
        if is_same(path, source):
            raise UsageError(
                f"{output.option} {path} is an input of this command: it would be replaced.",
                hint=f"Give {output.option} another name.",
            )
        if there.is_file() and source.is_dir() and not output.kind.is_own(there) and _lies_in(path, source):
            raise UsageError(
                f"{output.option} {path} is a file of {source}, which is read: it would be replaced.",
                hint=f"Give {output.option} another name.",
            )


def _both(one: str, other: str) -> str:
    return f"{one} and {other}" if one != other else f"Two of {one}"


def _lies_in(path: Path, folder: Path) -> bool:
    root = real(folder)
    # By the folder where the name is, and by the file that it leads to.
    return real(path.parent).is_relative_to(root) or real(path).is_relative_to(root)


def _folds_case(path: Path) -> bool:
    """Return whether a folder takes names that differ in case only for one; asked of the file system."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        return False
    with temporary_file(path, "") as probe:
        return probe.with_name(probe.name.swapcase()).exists()
