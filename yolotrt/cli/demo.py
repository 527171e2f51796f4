"""``yolotrt demo``: the main job on a carried model and a synthetic 4K scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, say, stdout
from yolotrt.cli.options import JsonTarget, Threads, cores

if TYPE_CHECKING:
    from yolotrt.workflow.demo import DemoOutcome


def demo(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer scenes and frames; a smoke test.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything it makes.")] = Path(
        "runs/demo"
    ),
    threads: Threads = None,
    json: JsonTarget = None,
) -> None:
    r"""Show the main job from end to end: calibrate, build fp32 and int8, bench tiles against global.

    Needs no GPU, no weights and no data. Everything is written to one folder.

    \b
    Examples:
      yolotrt demo
      yolotrt demo --quick --out /tmp/demo
    """
    from yolotrt.bench.result import to_json
    from yolotrt.bench.sweep import SweepSettings
    from yolotrt.report.tables import latency_table, stage_table
    from yolotrt.workflow.demo import run_demo

    settings = SweepSettings(
        groups=(1, 4) if quick else (1, 2, 4, 8),
        threads=threads or cores(),
        iterations=2 if quick else 4,
        warmup=1,
    )
    with progress_bars() as progress:
        outcome = run_demo(out, settings, calibration_scenes=2 if quick else 8, progress=progress, say=say)
    if json != "-":
        console = stdout()
        console.print(latency_table(outcome.result))
        console.print(stage_table(outcome.result))
        _print_story(outcome, out)
    emit_json(json, to_json(outcome.result))


def _print_story(outcome: DemoOutcome, out: Path) -> None:
    from yolotrt.report.draw import draw
    from yolotrt.workflow.demo import small_object_recall, write_picture

    names = outcome.engines["int8"].spec.names
    print(f"The scene shows {len(outcome.scene.instances)} objects. The int8 engine found:")
    for mode, found in outcome.found.items():
        recall = small_object_recall(outcome.scene, found)
        small = "" if recall is None else f", {recall:.0%} of the small ones (up to 96 px)"
        picture = write_picture(
            out / f"found-{mode.replace('+', '-')}.png", draw(outcome.scene.image, found, names)
        )
        print(f"  {mode:13} {len(found):3} objects{small}  {picture}")
    print(f"Every raw sample: {outcome.result_file}")
    print("Next, your own model: yolotrt build WEIGHTS.pt --int8 --images DIR, then: yolotrt bench")
