"""``yolotrt compare``: did it get slower?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, say, stdout, warn
from yolotrt.cli.gates import Undecided, fails_undecided, percentage
from yolotrt.cli.options import JsonTarget
from yolotrt.cli.outputs import (
    Overwrite,
    claim_outputs,
    json_output,
    page_outputs,
    write_junit,
    write_markdown,
)
from yolotrt.errors import GateFailed, GateUndecided

if TYPE_CHECKING:
    from yolotrt.bench.compare import Comparison


def compare(
    base: Annotated[Path, typer.Argument(help="Result file to compare with.")],
    new: Annotated[Path, typer.Argument(help="Result file that is judged.")],
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="Fail (exit 3) on a slow-down beyond this, if it is also significant. [default: 3%]"
        ),
    ] = None,
    undecided: Undecided = None,
    stat: Annotated[str, typer.Option(help="What is compared: p50, p90, p95, p99 or mean.")] = "p50",
    stages: Annotated[
        str, typer.Option(help="Stages to compare; those that were not measured are left out.")
    ] = "tiles,global,end_to_end",
    across: Annotated[
        bool, typer.Option("--across", help="Compare even though machine or settings differ.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the table as Markdown, such as for a pull request.")
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", help="Also write JUnit XML for CI: a test case for each figure.")
    ] = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Compare two result files, and exit with 3 if the new one got slower.

    A figure regressed if the ratio of the medians (or of what --stat names) exceeds --fail-on, and its
    bootstrap interval excludes 1 or every new frame took longer than every frame of the base. The intervals
    are simultaneous: the probability that any of them is wrong is at most 5 %, however many cases there are.
    A figure is undecided if it is so noisy that a slow-down of 20 % (or of --fail-on, if that is more) could
    hide in it, if it exceeds the limit with too few frames to be sure, if the new result lacks it, or if
    other programs, busier in one run than in the other, may explain or hide it. --undecided says whether
    that is an error (exit 1); with --fail-on it is. eval --max-drop judges by the same rule.

    \b
    Examples:
      yolotrt compare main.json branch.json
      yolotrt compare main.json branch.json --fail-on 5% --stat p95 --markdown comment.md
      yolotrt compare laptop.json server.json --across --json -
    """
    from yolotrt.bench.compare import compare as hold_against
    from yolotrt.bench.compare_file import DOCUMENT, comparison_file
    from yolotrt.bench.result import read_result
    from yolotrt.report.tables import comparison_table

    outputs = [json_output(json, DOCUMENT.kind), *page_outputs(None, markdown, None, junit)]
    claim_outputs(outputs, base, new, overwrite=overwrite)
    limit = percentage(fail_on or "3%", "--fail-on")
    strict = fails_undecided(undecided, asked=fail_on is not None)
    found = hold_against(
        read_result(base),
        read_result(new),
        fail_on=limit,
        stat=stat,
        stages=tuple(part.strip() for part in stages.split(",")),
        across=across,
    )
    if json != "-":
        console = stdout()
        console.print(comparison_table(comparison_file(found), console.width))
    say(f"compare: {found.headline} ({found.stat})")
    for difference in found.differences:
        say(f"different: {difference}")
    for which, advice in found.doubts:
        warn(f"{base if which == 'base' else new}: {advice}")
    for note in found.notes:
        warn(note)
    for missing in found.missing:
        warn(f"not compared, {missing}")
    for lost in found.lost:
        if f"only in the base: {lost}" not in found.missing:
            warn(f"not compared, since not measured in both: {lost}")
    if markdown is not None:
        from yolotrt.report.markdown import comparison_markdown

        write_markdown(markdown, comparison_markdown(found))
    if junit is not None:
        from yolotrt.report.junit import comparison_junit

        write_junit(junit, comparison_junit(found))
    emit_json(json, DOCUMENT.to_json(comparison_file(found)))
    hold(found, limit, strict=strict)


def hold(found: Comparison, limit: float, *, strict: bool) -> None:
    """Fail if something got slower.

    Args:
        found: The comparison.
        limit: The slow-down that counts, as a part.
        strict: Whether what cannot be judged is an error, too.

    Raises:
        GateFailed: There is a regression.
        GateUndecided: Nobody can tell.
    """
    from yolotrt.report.figures import signed_percent

    if bad := found.regressions:
        worst = max(bad, key=lambda change: change.ratio.value)
        raise GateFailed(
            f"{len(bad)} of {len(found.changes)} figures got significantly slower, by more than "
            f"{limit * 100:.3g} %; most: {worst.case}, {worst.stage} {signed_percent(worst.ratio.value)}."
        )
    if strict and found.outcome == "undecided":
        raise GateUndecided(_open(found), hint=_remedy(found))


def _open(found: Comparison) -> str:
    """Return what cannot be judged, in a sentence."""
    from yolotrt.report.figures import signed_percent

    if not found.undecided:
        return f"Undecided: the two results do not both measure {found.lost[0]}."
    worst = max(found.undecided, key=lambda change: change.ratio.value)
    if crowded := [change for change in found.undecided if change.crowded]:
        worst = max(crowded, key=lambda change: change.ratio.value)
        return (
            f"Undecided: other programs were busier during one of the two runs, which may explain or hide a "
            f"slow-down in {len(crowded)} of {len(found.changes)} figures; most: {worst.case}, {worst.stage} "
            f"{signed_percent(worst.ratio.value)}."
        )
    return (
        f"Undecided: {len(found.undecided)} of {len(found.changes)} figures have too few or too noisy frames "
        f"to tell whether they got slower; most: {worst.case}, {worst.stage} "
        f"{signed_percent(worst.ratio.value)}, which may be noise."
    )


def _remedy(found: Comparison) -> str:
    if not found.undecided:
        return "Measure what the base has, or let it pass with --undecided pass."
    if any(change.crowded for change in found.undecided):
        return "Measure both again while nothing else runs, or let it pass with --undecided pass."
    needed = max(20, *(change.needed for change in found.undecided))
    more = max(needed, 2 * max(change.frames for change in found.undecided))
    return (
        f"Measure both with more frames (bench -n {more}) on a quieter machine, or let it pass with "
        "--undecided pass."
    )
