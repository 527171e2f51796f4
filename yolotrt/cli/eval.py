"""``yolotrt eval``: how accurate engines are, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from yolotrt.cli.console import emit_json, progress_bars, stdout, warn
from yolotrt.cli.eval_gates import gates_of, hold
from yolotrt.cli.gates import Undecided, fails_undecided
from yolotrt.cli.options import (
    ENGINES,
    AnnotatedImages,
    Annotations,
    Device,
    JsonTarget,
    MergeOption,
    MergeOverlap,
    Overlap,
    SplitOption,
    Threads,
    Track,
    Trust,
    choice,
    choices,
    cores,
    merge_settings,
)
from yolotrt.cli.outputs import Overwrite, claim_outputs, json_output
from yolotrt.cli.scaling import Gpus, RayAddress, WorkerCount, chosen_workers
from yolotrt.errors import UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.workflow.evaluate import Judge


def eval_(
    engines: Annotated[list[Path], typer.Argument(metavar="ENGINE...", help="Engines to evaluate.")],
    annotations: Annotations,
    images: AnnotatedImages = None,
    split: SplitOption = "val",
    mode: Annotated[
        str,
        typer.Option(
            help="tiled+global, tiled or global, or several: global,tiled. Published mAP of images about as "
            "large as the network's input is that of global."
        ),
    ] = DEFAULT_MODE,
    overlap: Overlap = 0.2,
    reference: Annotated[
        str | None,
        typer.Option(
            help="Engine to compare with, or 'fp32': that of the same network. [default: the first]"
        ),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(metavar="1%|0.5pt", help="Fail (exit code 3) if box or mask mAP loses more than this."),
    ] = None,
    max_drop_small: Annotated[
        str | None,
        typer.Option(metavar="5%|1pt", help="The same for the box mAP of small objects."),
    ] = None,
    undecided: Undecided = None,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", min=1, help="Use only the first images, or frames.")
    ] = None,
    per_class: Annotated[bool, typer.Option("--per-class", help="Also print mAP per class.")] = False,
    merge: MergeOption = "seams",
    merge_overlap: MergeOverlap = None,
    video: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Evaluate on a video: all tiles against --tiles. --annotations is what its frames show, as "
            "yolotrt scenes --truth writes it.",
        ),
    ] = None,
    tiles: Annotated[
        str | None,
        typer.Option(
            metavar="adaptive[:N]|roi:FILE", help="The choice to try with --video. [default: adaptive]"
        ),
    ] = None,
    track: Track = False,
    threads: Threads = None,
    device: Device = "auto",
    workers: WorkerCount = None,
    gpus: Gpus = None,
    ray: RayAddress = None,
    trust: Trust = False,
    overwrite: Overwrite = False,
    json: JsonTarget = None,
) -> None:
    r"""Measure box and mask mAP (COCO, pycocotools' definition) of engines on the same images.

    Differences come with a 95 % interval, by a paired bootstrap over the images. A difference whose interval
    contains zero is called noise. --max-drop fails if the loss exceeds it and the interval excludes zero. It
    is undecided if the loss may be noise and its interval reaches a loss of 5 % (or of --max-drop, if that
    is more). Everything else passes; compare judges by the same rule. --max-drop-small does the same for
    boxes below 32 x 32 px, whose collapse a mean can hide. Thresholds: confidence 0.001, NMS IoU
    0.7, 300 detections, full-resolution masks. The ms column is the median time of an image, from pixels to
    merged detections. All but the network runs on the processor here, even if the network runs on a GPU: for
    a GPU's speed see yolotrt bench. One GPU at most. With several modes, passes that they share run once;
    the time of a mode is that of its own passes. With --ray the images are dealt out to workers: the figures
    are the same to the bit, and times are left out, for those of several machines are nobody's.

    \b
    Examples:
      yolotrt eval engines/a.fp32.onnxruntime.onnx engines/a.int8.onnxruntime.onnx \
        --images coco/val --annotations coco/instances.json
      yolotrt eval engines/a.int8.onnxruntime.onnx --reference fp32 --max-drop 1% \
        --images coco/val --annotations coco/instances.json
      yolotrt eval engines/a.fp32.onnxruntime.onnx --annotations mydata/data.yaml
      yolotrt eval engines/a.fp32.onnxruntime.onnx --video day.mp4 --annotations day.json --track
      yolotrt eval engines/a.fp32.onnxruntime.onnx --mode global,tiled,tiled+global \
        --images mosaics/images --annotations mosaics/instances.json
    """
    if video is not None:
        from yolotrt.cli.eval_video import eval_video, for_pictures
        from yolotrt.pipeline.settings import PASS_MODES

        for_pictures(
            {"--images": images, "--reference": reference, "--max-drop": max_drop, "--per-class": per_class,
             "--max-drop-small": max_drop_small, "--undecided": undecided, "--ray": ray, "--gpus": gpus,
             "--workers": workers}
        )  # fmt: skip
        eval_video(
            engines,
            video,
            annotations,
            tiles=tiles or "adaptive",
            mode=choice(mode, "--mode", PASS_MODES),
            overlap=overlap,
            merge=merge_settings(merge, merge_overlap),
            track=track,
            cpu_threads=threads or cores(),
            device=device,
            limit=limit,
            trust=trust,
            overwrite=overwrite,
            json=json,
        )
        return
    if tiles is not None or track:
        raise UsageError("--tiles and --track are for videos here.", hint="Add --video FILE.")
    from yolotrt.bench.verdict import together
    from yolotrt.data.formats.reader import SPLITS, require_images
    from yolotrt.evaluation.groundtruth import load_ground_truth
    from yolotrt.machine.environment import packages
    from yolotrt.pipeline.tiled import PASS_MODES
    from yolotrt.report.accuracy_tables import accuracy_table, class_table, loss_table, worst_classes
    from yolotrt.workflow.accuracy_file import DOCUMENT, AccuracyFile, HeldBound
    from yolotrt.workflow.catalog import find_reference, read_engines, told_apart
    from yolotrt.workflow.evaluate import MaxDrop, eval_notes, evaluate_modes

    bound = None if max_drop is None else MaxDrop.parse(max_drop)
    small = None if max_drop_small is None else MaxDrop.parse(max_drop_small, "--max-drop-small")
    compared = None if reference == "fp32" else reference
    claim_outputs(
        [json_output(json, DOCUMENT.kind)], engines, compared, images, annotations, overwrite=overwrite
    )
    strict = fails_undecided(undecided, asked=True)
    files = read_engines(engines, ENGINES, trust=trust, warn=warn)
    if reference is not None:
        base = find_reference(reference, files[0], ENGINES, trust=trust, warn=warn)
        files = told_apart([base, *(f for f in files if f.path.resolve() != base.path.resolve())])
    if (bound or small) and len(files) < 2:
        raise UsageError("--max-drop needs something to compare with.", hint="Add --reference fp32.")
    for note in dict.fromkeys(note for file in files for note in eval_notes(file, device)):
        warn(note)
    modes = choices(mode, "--mode", PASS_MODES)
    choice(split, "--split", SPLITS)
    require_images(annotations, images)
    settings = merge_settings(merge, merge_overlap)
    truth = load_ground_truth(annotations, images, split=split, limit=limit)
    for note in truth.notes:
        warn(note)
    with (
        progress_bars() as progress,
        _judging(workers, gpus, ray, threads, device=device, trust=trust) as judge,
    ):
        evaluated = evaluate_modes(
            files,
            truth,
            images,
            modes=modes,
            overlap=overlap,
            merge=settings,
            threads=threads or cores(),
            device=device,
            progress=progress,
            judge=judge,
        )
    found = [entry for entries in evaluated.values() for entry in entries]
    accuracy = found[0].evaluation.accuracy
    if accuracy.unknown_classes:
        warn(f"the annotations do not know: {', '.join(accuracy.unknown_classes)}")
    if accuracy.unmeasured_classes:
        warn(f"the model does not know: {', '.join(accuracy.unmeasured_classes)}")
    figures = tuple(entry.figures() for entry in found)
    if json != "-":
        console = stdout()
        console.print(accuracy_table(figures, console.width))
        losses = loss_table(figures, console.width)
        if losses is not None:
            console.print(losses)
        for line in worst_classes(figures):
            console.print(line, style="dim", markup=False, highlight=False)
        if per_class:
            console.print(class_table(figures, console.width))
    gates = gates_of(found, bound, small)
    held = None
    if gates:
        bounds = [str(bound)] * (bound is not None) + [f"{small} of small boxes"] * (small is not None)
        outcomes = (each.outcome(difference) for _, _, difference, each in gates)
        held = HeldBound(" and ".join(bounds), together(outcomes))
    emit_json(json, DOCUMENT.to_json(AccuracyFile(mode, figures, tuple(truth.notes), packages(), held)))
    if held is not None:
        hold(gates, held, strict)


@contextmanager
def _judging(
    count: int | None, gpus: str | None, ray: str | None, threads: int | None, *, device: str, trust: bool
) -> Iterator[Judge | None]:
    from yolotrt.errors import UsageError

    if ray is None:
        if count is not None or gpus is not None:
            raise UsageError(
                "--workers and --gpus are for --ray here.", hint="Add --ray local, or leave them out."
            )
        yield None
        return
    from yolotrt.scale.evaluation import judging

    with judging(chosen_workers(count, gpus, ray, device), threads or 1, device=device, trust=trust) as judge:
        yield judge
