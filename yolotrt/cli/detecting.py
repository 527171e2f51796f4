"""What verbs that detect objects share: which engine, which pictures, what counts as found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolotrt.cli.console import say
from yolotrt.cli.options import ENGINES, SOURCES
from yolotrt.errors import InputError, UsageError
from yolotrt.text import shell_words

if TYPE_CHECKING:
    from yolotrt.pipeline.decode import DecodeSettings

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENGINE] [SOURCE]...",
        help="The engine [default: the newest in engines/ that can run here], and what it looks at. "
        f"{SOURCES}.",
    ),
]
Conf = Annotated[float, typer.Option("--conf", help="Least score of a detection.")]
Iou = Annotated[
    float,
    typer.Option("--iou", help="Overlap with a better box of its class above which a box is dropped."),
]
MaxDet = Annotated[int, typer.Option("--max-det", help="Most detections of a tile or whole frame.")]
Classes = Annotated[
    str | None,
    typer.Option("--classes", metavar="A,B", help="Only these, by name or number: person,car or 0,2."),
]
Agnostic = Annotated[
    bool,
    typer.Option("--agnostic", help="One object at a place, whatever its class: the best stays (--iou)."),
]


def engine_and_sources(
    targets: list[str] | None, option: list[str] | None, device: str
) -> tuple[Path, list[str]]:
    """Tell the engine from what it looks at; without one, take the newest that can run here.

    Args:
        targets: The words in their order.
        option: What ``--source`` named.
        device: Where the engine is to run.

    Raises:
        UsageError: No source was named.
        InputError: There is no engine, or weights in its place.
    """
    from yolotrt.data.named import HINT, local_paths
    from yolotrt.workflow.catalog import is_engine_name, newest_engine

    words, named = list(targets or ()), list(option or ())
    engine = Path(words.pop(0)) if words and is_engine_name(words[0]) else None
    sources = [*words, *named]
    if engine is not None and engine.suffix.lower() in {".pt", ".pth", ".yaml", ".yml"}:
        raise InputError(
            f"{engine} holds weights, and an engine is made of them first.",
            hint=f"yolotrt build {shell_words(str(engine))} --fp16   (on a processor --fp32 or --int8)",
        )
    if not sources:
        raise UsageError(
            "No source was named.", hint="Add a picture, a folder, a video, a camera (0) or an address."
        )
    if engine is None:
        for path in local_paths(sources):
            if not os.path.lexists(path):  # perhaps the name of an engine, too
                raise InputError(f"{path} does not exist.", hint=HINT)
    return engine or newest_engine(ENGINES, device, say), sources


def detection_settings(conf: float, iou: float, max_det: int) -> DecodeSettings:
    """Return what counts as found.

    Raises:
        UsageError: A value is out of range.
    """
    from yolotrt.pipeline.decode import DecodeSettings

    return DecodeSettings(conf=conf, iou=iou, max_det=max_det)


def chosen_classes(classes: str | None, agnostic: bool) -> dict[str, Any]:
    """Return fields of the pipeline's settings; the network's names are asked for when it is loaded.

    Raises:
        UsageError: A name is empty.
    """
    if classes is None:
        return {"agnostic": agnostic}
    words = [word.strip() for word in classes.strip("[] ").split(",")]
    if not all(words):
        raise UsageError(f"--classes {classes!r} names nothing.", hint="Like this: person,car or 0,2")
    return {"agnostic": agnostic, "classes": tuple(words)}
