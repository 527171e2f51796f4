"""Which pictures a run was measured on: known by content, since names stay when pictures change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from yolotrt.bench.settings import Settings, SourceFile
from yolotrt.data.kinds import SCENE


def source_files(files: Sequence[tuple[str, str]]) -> tuple[SourceFile, ...] | None:
    """Return what a result says about its pictures; without any (a synthetic scene) its name says all.

    Args:
        files: Name and sha256 of each picture.
    """
    return tuple(SourceFile(name, digest) for name, digest in files) or None


def source_differences(old: Settings, new: Settings) -> Iterator[str]:
    """Say whether two results' settings name different pictures.

    Hashes decide where both have them; a picture that moved is the same. Results of earlier versions have
    only names.
    """
    before, after = old.source_files, new.source_files
    if before is None or after is None:
        if old.source != new.source:
            yield f"source {old.source} -> {new.source}"
        return
    if len(before) != len(after):
        yield f"source {old.source} ({len(before)} pictures) -> {new.source} ({len(after)} pictures)"
        return
    changed = [(a.file, b.file) for a, b in zip(before, after, strict=True) if a.sha256 != b.sha256]
    if not changed:
        return
    one, other = changed[0]
    what = f"another picture is called {other}" if one == other else f"{one} -> {other}"
    yield f"source {new.source}: {len(changed)} of {len(after)} pictures have other content ({what})"


def unknown_source(old: Settings, new: Settings) -> tuple[str, ...]:
    """Say so if a result does not tell what its pictures hold, as those of earlier versions."""
    known = [s.source_files is not None or str(s.source).split(" ")[0] == SCENE for s in (old, new)]
    if all(known):
        return ()
    which = "the new result has" if known[0] else "the base has" if known[1] else "both have"
    return (f"{which} no hash of the pictures: whether they are the same is not known",)
