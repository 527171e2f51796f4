"""Ways to build besides the plain one: within an accuracy bound, and in whatever precision is fastest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from yolotrt.cli.console import emit_json, progress_bars, say, stdout, tell
from yolotrt.cli.options import cores
from yolotrt.errors import UsageError

if TYPE_CHECKING:
    from yolotrt.backends.base import EngineFile
    from yolotrt.pipeline.settings import PassMode
    from yolotrt.workflow.accuracy_bound.search import BoundRequest
    from yolotrt.workflow.build import BuildRequest
    from yolotrt.workflow.built import BuiltPrecision, BuiltWithinBound

_TIMED_ON = 4
"""Pictures that engines are timed on."""


def require_automatic(named: Sequence[str], output: Path | None, *, implicit: bool) -> None:
    """Refuse what leaves nothing to choose.

    Raises:
        UsageError: A precision is named as well, or what depends on one.
    """
    if named:
        raise UsageError(
            f"--precision auto chooses, and --{named[0]} has chosen.", hint="Leave one of them out."
        )
    if output is not None or implicit:
        raise UsageError(
            f"--precision auto does not go with {'--implicit' if implicit else '-o'}: it builds several.",
            hint="Leave it out: engines are named by their precision, in engines/.",
        )


def build_fastest(
    request: BuildRequest, bound: BoundRequest | None, mode: PassMode, json: str | None
) -> None:
    """Build every precision that may be the fastest, and print which one is."""
    from yolotrt.data.formats.reader import images_of
    from yolotrt.data.images import read_image
    from yolotrt.data.scenes.scene import make_scene
    from yolotrt.quantization.batches import spread
    from yolotrt.report.worth_table import worth_table
    from yolotrt.workflow.built import BuiltPrecision
    from yolotrt.workflow.worth import choose_precision

    if request.images is None:
        frames = [make_scene(0).image]
    else:
        frames = [read_image(path) for path in spread(images_of(request.images), _TIMED_ON)]
    with progress_bars() as progress:
        worth = choose_precision(
            request, bound, frames, mode=mode, threads=cores(), progress=progress, say=say
        )
    console = stdout()
    if json != "-":
        console.print(worth_table(worth, console.width))
    say(worth.reason)
    engine = worth.chosen.engine
    assert engine is not None
    if json != "-":
        tell(str(engine.path))
    tried = tuple(
        BuiltPrecision(
            t.precision, None if t.engine is None else str(t.engine.path), t.device, t.size, t.p50_s,
            t.work, t.loss, t.refused,
        )
        for t in worth.tried
    )  # fmt: skip
    emit_built(json, engine, False, precisions=tried, reason=worth.reason)


def build_bounded(wanted: BoundRequest, json: str | None) -> None:
    """Build an engine that keeps a bound, and print what that costs."""
    from yolotrt.report.bound_tables import bound_table
    from yolotrt.workflow.accuracy_bound.search import build_within_bound
    from yolotrt.workflow.built import BuiltWithinBound

    with progress_bars() as progress:
        outcome = build_within_bound(wanted, progress=progress, say=say)
    if json != "-":
        console = stdout()
        console.print(bound_table(outcome, console.width))
        tell(str(outcome.file.path))
    facts = (outcome.criterion, outcome.mode, outcome.bound, outcome.reference, outcome.attempts)
    emit_built(json, outcome.file, outcome.cached, BuiltWithinBound(*facts))


def emit_built(
    json: str | None,
    file: EngineFile,
    cached: bool,
    bound: BuiltWithinBound | None = None,
    precisions: tuple[BuiltPrecision, ...] | None = None,
    reason: str | None = None,
) -> None:
    """Write what was built as JSON, if that was asked for."""
    from yolotrt.workflow.built import BUILT, Built

    sources = {name: value for name, value in file.sources.items() if name != "bound_outcome"}
    facts = (str(file.path), file.backend, file.precision, file.batches, file.sha256, cached, sources)
    found = BUILT.to_json(Built(*facts, bound, precisions, reason))
    # "promise" is what the key was called first: scripts that read it go on.
    emit_json(json, found if bound is None else {**found, "promise": found["accuracy_bound"]})
