"""Which pictures a run was measured on: known by content, since names stay when pictures change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from yolotrt.data.kinds import SCENE

FILES = "source_files"
"""Setting of a result with name and sha256 of every picture, in the order of the frames."""


def source_settings(source: str, files: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return what a result says about its source; without files (a synthetic scene) its name says all.

    Args:
        source: What the user named.
        files: Name and sha256 of each picture.
    """
    described = [{"file": name, "sha256": digest} for name, digest in files]
    return {"source": source, FILES: described} if files else {"source": source}


def source_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Say whether two results' settings name different pictures.

    Hashes decide where both have them; a picture that moved is the same. Results of earlier versions have
    only names.
    """
    before, after = _digests(old), _digests(new)
    if before is None or after is None:
        if old.get("source") != new.get("source"):
            yield f"source {old.get('source')} -> {new.get('source')}"
        return
    if before == after:
        return
    if len(before) != len(after):
        one, other = (f"{s.get('source')} ({len(s[FILES])} pictures)" for s in (old, new))
        yield f"source {one} -> {other}"
        return
    names = [(a["file"], b["file"]) for a, b in zip(old[FILES], new[FILES], strict=True)]
    changed = [pair for pair, a, b in zip(names, before, after, strict=True) if a != b]
    one, other = changed[0]
    what = f"another picture is called {other}" if one == other else f"{one} -> {other}"
    yield f"source {new.get('source')}: {len(changed)} of {len(after)} pictures have other content ({what})"


def unknown_source(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, ...]:
    """Say so if a result does not tell what its pictures hold, as those of earlier versions."""
    known = [_digests(s) is not None or str(s.get("source")).split(" ")[0] == SCENE for s in (old, new)]
    if all(known):
        return ()
    which = "the new result has" if known[0] else "the base has" if known[1] else "both have"
    return (f"{which} no hash of the pictures: whether they are the same is not known",)


def _digests(settings: Mapping[str, Any]) -> list[str] | None:
    files = settings.get(FILES)
    if not isinstance(files, list) or not all(
        isinstance(f, dict) and {"file", "sha256"} <= f.keys() for f in files
    ):
        return None
    return [str(f["sha256"]) for f in files]
