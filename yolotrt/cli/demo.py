"""``yolotrt demo``: the main job on a carried model and synthetic 4K scenes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, note, progress_bars, say, stdout, tell, warn
from yolotrt.cli.gates import check_budgets
from yolotrt.cli.options import JsonTarget, Threads, cores
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output

if TYPE_CHECKING:
    from yolotrt.workflow.demo import DemoOutcome

OUT = Path("runs/demo")
CAMERA = "end_to_end=33ms"
"""What a camera of 30 frames per second leaves for one."""


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Less of everything: a smoke test.")] = False,
    out: Annotated[
        Path, typer.Option("-o", "--output", "--out", help="Folder for everything it makes.")
    ] = OUT,
    budget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[STAGE=]TIME",
            help=f"Fail (exit 3) above this. [default: shows {CAMERA}, without failing]",
        ),
    ] = None,
    threads: Threads = None,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Show the main job from end to end: calibrate, build, bench tiles against global, measure accuracy.

    Needs no GPU, no weights and no data; the model is small and finds eight kinds of shapes. Everything
    is written to one folder.

    \b
    Examples:
      yolotrt demo
      yolotrt demo --quick --out /tmp/demo
      yolotrt demo --budget 2s
    """
    from dataclasses import replace

    from yolotrt.artifacts.documents import as_values
    from yolotrt.artifacts.files import exclusive
    from yolotrt.artifacts.folders import owning
    from yolotrt.bench.budgets import Budgets
    from yolotrt.bench.result import RESULT, to_json
    from yolotrt.bench.sweep import SweepSettings
    from yolotrt.workflow.demo import NAMES, DemoSettings, run_demo, watched

    sweep = SweepSettings(
        modes=("global", "tiled"),  # both together: in the way that was fastest for the tiles
        groups=(1, 4) if quick else (1, 2, 4, 8),
        threads=threads or cores(),
        iterations=1 if quick else 3,
        warmup=0 if quick else 1,
    )
    settings = DemoSettings(out, sweep, 2, 1) if quick else DemoSettings(out, sweep)
    budgets = Budgets.parse(budget or [CAMERA])
    settings = replace(settings, overwrite=overwrite, budgets=budgets)
    places = [("-o", out), *((f"{name} in -o", out / name) for name in NAMES)]
    claim_outputs([json_output(json, RESULT)], overwrite=overwrite, folders=places)
    own = owning(out, "yolotrt demo", watched, option="-o", overwrite=overwrite)
    with exclusive(out / "report.html", say), own:
        with progress_bars() as progress:
            outcome = run_demo(settings, progress=progress, say=say)
        files = _write_files(outcome, out)
    if json != "-":
        _print_table(outcome, files)
    accuracy = {mode: as_values([e.figures() for e in found]) for mode, found in outcome.accuracy.items()}
    emit_json(json, {**to_json(outcome.result), "accuracy": accuracy} if json else None)
    if budget:
        check_budgets(outcome.result, budgets, announced=True)


def _write_files(outcome: DemoOutcome, out: Path) -> dict[str, Path]:
    """Write pictures, accuracy and the page, and return what lies where."""
    from yolotrt.artifacts.files import write_text
    from yolotrt.report.beside import before_and_after
    from yolotrt.report.draw import draw
    from yolotrt.report.page import page
    from yolotrt.workflow.accuracy_file import DOCUMENT, AccuracyFile, EngineFigures
    from yolotrt.workflow.demo import write_picture

    written = {"raw samples": outcome.result_file}
    figures: list[EngineFigures] = []
    for mode, entries in outcome.accuracy.items():
        engines = tuple(entry.figures() for entry in entries)
        target = out / f"accuracy-{mode}.json"
        written[f"accuracy, {mode}"] = DOCUMENT.write(target, AccuracyFile(mode, engines))
        figures += engines
    pictures = {
        mode: draw(outcome.scene.image, found, outcome.names) for mode, found in outcome.found.items()
    }
    for mode, picture in pictures.items():
        target = out / f"found-{mode.replace('+', '-')}.jpg"
        written[f"found by {mode}"] = write_picture(target, picture)
    both = before_and_after(outcome, pictures)
    written["before and after"] = write_picture(out / "global-and-tiled.jpg", both)
    written["page"] = write_text(out / "report.html", page([outcome.result], figures))
    return written


def _print_table(outcome: DemoOutcome, files: dict[str, Path]) -> None:
    from yolotrt.bench.advice import FEW, advise
    from yolotrt.bench.crowding import crowding
    from yolotrt.bench.judge import judge
    from yolotrt.evaluation.recall import SMALL_PX
    from yolotrt.report.demo_table import demo_table
    from yolotrt.report.tables import budget_table, latency_table, stage_table
    from yolotrt.workflow.demo import are_found, small_objects

    console = stdout()
    console.print(latency_table(outcome.result, console.width))
    console.print(stage_table(outcome.result, console.width))
    console.print(demo_table(outcome.result, outcome.accuracy, console.width))
    verdicts = judge(outcome.result.cases, outcome.result.budgets, crowding(outcome.result))
    console.print(budget_table(verdicts, console.width))
    for remark in outcome.result.notes:
        note(remark)
    for advice in advise(outcome.result):
        if advice.code == FEW:  # that is the demo's own choice
            note(f"{advice.message} The demo is in a hurry; yolotrt bench takes more.")
        else:
            warn(str(advice))
    small = small_objects(outcome.scene)
    tell(f"The measured scene shows {len(outcome.scene.instances)} objects. The int8 engine finds:")
    for mode, found in outcome.found.items():
        hits = are_found(small, found).sum()
        share = f"{hits / len(small):.0%} of those up to {SMALL_PX} px"
        tell(f"  {mode:13} {len(found):3} objects, {hits} of {len(small)} small ones ({share})")
    for what, path in files.items():
        tell(f"{what + ':':24} {path}")
    tell("Next, your own model:  yolotrt build WEIGHTS.pt --int8 --images DIR, then: yolotrt bench")
