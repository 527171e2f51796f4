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
        targets: The words; the engine is known by its name, wherever it stands.
        option: What ``--source`` named.
        device: Where the engine is to run.

    Raises:
        UsageError: No source was named, or more than one engine.
        InputError: There is no engine, or weights in its place.
    """
    from yolotrt.data.named import has_known_ending
    from yolotrt.workflow.catalog import is_engine_name, newest_engine

    words, named = list(targets or ()), list(option or ())
    # Pictures with an engine's sidecar beside them are engines in front only: folders of pictures are long.
    engines = [
        k for k, word in enumerate(words) if (k == 0 or not has_known_ending(word)) and is_engine_name(word)
    ]
    if len(engines) > 1:
        raise UsageError(
            f"{' and '.join(words[k] for k in engines[:2])} both name engines, and one looks at the sources.",
            hint="Name one engine; to measure several side by side: yolotrt bench, or yolotrt eval.",
        )
    engine = Path(words.pop(engines[0])) if engines else None
    sources = [*words, *named]
    if engine is not None and engine.suffix.lower() in {".pt", ".pth", ".yaml", ".yml"}:
        raise InputError(
            f"{engine} holds weights, and an engine is made of them first.",
            hint=f"yolotrt build {shell_words(str(engine))} --fp16   (on a processor --int8 --images DIR)",
        )
    if not sources:
        raise UsageError(
            "No source was named.", hint="Add a picture, a folder, a video, a camera (0) or an address."
        )
    if engine is None:  # perhaps one of these names one
        _require_there(sources)
    return engine or newest_engine(ENGINES, device, say), sources


def engines_and_sources(targets: list[str] | None, option: list[str] | None) -> tuple[list[Path], list[str]]:
    """Tell engines that are measured from what they look at, ``scene`` if nothing was named.

    Args:
        targets: The words in their order.
        option: What ``--source`` named.

    Raises:
        InputError: A word names nothing that is there.
    """
    from yolotrt.data.kinds import SCENE
    from yolotrt.workflow.catalog import is_engine_name

    engines, sources = list[Path](), list[str]()
    for word in targets or ():
        if is_engine_name(word):
            engines.append(Path(word))
        else:
            sources.append(word)
    _require_there(sources)
    return engines, [*sources, *(option or ())] or [SCENE]


def _require_there(sources: list[str]) -> None:
    from yolotrt.data.named import HINT, local_paths

    for path in local_paths(sources):
        if not os.path.lexists(path):
            raise InputError(f"{path} does not exist.", hint=HINT)


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
