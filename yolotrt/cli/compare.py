"""``yolotrt compare``: did it get slower?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrt.cli.console import emit_json, say, stdout, warn
from yolotrt.cli.gates import percentage
from yolotrt.cli.options import JsonTarget
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output, page_outputs, write_markdown
from yolotrt.errors import GateFailed

if TYPE_CHECKING:
    from yolotrt.bench.compare import Comparison


def compare(
    base: Annotated[Path, typer.Argument(help="Result file to compare with.")],
    new: Annotated[Path, typer.Argument(help="Result file that is judged.")],
    fail_on: Annotated[
        str, typer.Option(help="Fail (exit 3) on a slow-down beyond this, if it is also significant.")
    ] = "3%",
    stat: Annotated[str, typer.Option(help="What is compared: p50, p90, p95 or p99.")] = "p50",
    stages: Annotated[
        str, typer.Option(help="Stages to compare; those that were not measured are left out.")
    ] = "tiles,global,end_to_end",
    across: Annotated[
        bool, typer.Option("--across", help="Compare even though machine or settings differ.")
    ] = False,
    markdown: Annotated[
        Path | None, typer.Option(help="Also write the table as Markdown, such as for a pull request.")
    ] = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Compare two result files, and exit with 3 if the new one got slower.

    A regression: the ratio of the medians (or of what --stat names) exceeds the limit of --fail-on, and its
    bootstrap interval excludes 1. All intervals of a comparison together are wrong with 5 % probability at
    most, however many cases there are.

    \b
    Examples:
      yolotrt compare main.json branch.json
      yolotrt compare main.json branch.json --fail-on 5% --stat p95 --markdown comment.md
      yolotrt compare laptop.json server.json --across --json -
    """
    from yolotrt.artifacts.kinds import json_with
    from yolotrt.bench.compare import compare as hold_against
    from yolotrt.bench.result import read_result
    from yolotrt.report.tables import comparison_table, signed_percent

    written = json_with("what yolotrt compare --json wrote", ("stat", "changes", "regressions"))
    outputs = [json_output(json, written), *page_outputs(None, markdown, None)]
    claim_outputs(outputs, base, new, overwrite=overwrite)
    limit = percentage(fail_on, "--fail-on")
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
        console.print(comparison_table(found, console.width))
    for difference in found.differences:
        say(f"different: {difference}")
    for which, advice in found.doubts:
        warn(f"{base if which == 'base' else new}: {advice}")
    for missing in found.missing:
        warn(f"not compared, {missing}")
    if markdown is not None:
        from yolotrt.report.markdown import comparison_markdown

        write_markdown(markdown, comparison_markdown(found))
    emit_json(json, _as_json(found))
    if bad := found.regressions:
        worst = max(bad, key=lambda change: change.ratio.value)
        raise GateFailed(
            f"{len(bad)} of {len(found.changes)} figures got significantly slower, by more than "
            f"{limit * 100:.3g} %; most: {worst.case}, {worst.stage} {signed_percent(worst.ratio.value)}."
        )


def _as_json(found: Comparison) -> dict[str, Any]:
    return {
        "stat": found.stat,
        "regressions": len(found.regressions),
        "differences": list(found.differences),
        "missing": list(found.missing),
        "warnings": [
            {"result": which, "code": advice.code, "message": advice.message, "remedy": advice.remedy}
            for which, advice in found.doubts
        ],
        "changes": [
            {
                "case": asdict(change.case),
                "stage": change.stage,
                "base_s": change.base_s,
                "new_s": change.new_s,
                "ratio": change.ratio.value,
                "interval": None if change.ratio.interval is None else list(change.ratio.interval),
                "significant": change.ratio.certain,
                "regressed": change.regressed,
            }
            for change in found.changes
        ],
    }
