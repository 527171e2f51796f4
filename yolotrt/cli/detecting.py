"""What verbs that detect objects share: which engine, which pictures, what counts as found."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from yolotrt.cli.console import say
from yolotrt.cli.habits import way_to_build
from yolotrt.cli.options import (
    ENGINES,
    SOURCES,
    MergeOption,
    MergeOverlap,
    Mode,
    Overlap,
    choice,
    merge_settings,
)
from yolotrt.errors import InputError, UsageError
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.pipeline.decode import DecodeSettings
    from yolotrt.pipeline.settings import PipelineSettings

Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENGINE] [SOURCE]...",
        help="The engine [default: the newest in engines/ that can run here], and what it looks at. "
        f"{SOURCES}.",
    ),
]
Conf = Annotated[
    float,
    typer.Option(
        "--conf",
        help="Least score. What only tiles found, and the whole frame should show but does not, gets a lower "
        "score, down to just above this one.",
    ),
]
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
    from yolotrt.backends.sidecar import WEIGHTS
    from yolotrt.data.images import has_known_ending
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
    if engine is not None and engine.suffix.lower() in WEIGHTS:
        raise InputError(
            f"{engine} holds weights, and an engine is made of them first.",
            hint=way_to_build(str(engine)),
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
    from yolotrt.artifacts.files import meant
    from yolotrt.data.named import HINT, local_paths

    for path in local_paths(sources):
        if not os.path.lexists(path):
            raise InputError(f"{path} does not exist.", hint=f"{meant(path)}{HINT}")


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


@dataclass(frozen=True)
class Detecting:
    """How frames are cut, decoded and merged, as a verb's options say it; see :func:`with_detecting`."""

    mode: Mode = DEFAULT_MODE
    conf: Conf = 0.25
    iou: Iou = 0.7
    max_det: MaxDet = 300
    classes: Classes = None
    agnostic: Agnostic = False
    overlap: Overlap = 0.2
    merge: MergeOption = "seams"
    merge_overlap: MergeOverlap = None

    def settings(self, *, cpu_threads: int = 1) -> PipelineSettings:
        """Return the pipeline's settings.

        Raises:
            UsageError: An option's value is wrong.
        """
        from yolotrt.pipeline.settings import PASS_MODES, PipelineSettings

        return PipelineSettings(
            mode=choice(self.mode, "--mode", PASS_MODES),
            overlap=self.overlap,
            cpu_threads=cpu_threads,
            decode=detection_settings(self.conf, self.iou, self.max_det),
            merge=merge_settings(self.merge, self.merge_overlap),
            **chosen_classes(self.classes, self.agnostic),
        )


def with_detecting(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of :class:`Detecting` where it has a parameter ``detecting``.

    typer reads options from a function's signature, one parameter each; this one has them all.
    """
    hints = get_type_hints(Detecting, include_extras=True)
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Detecting)
    ]
    seen: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb, eval_str=True).parameters.items():
        seen += options if name == "detecting" else [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @wraps(verb)
    def with_options(**given: Any) -> None:
        chosen = Detecting(**{field.name: given.pop(field.name) for field in fields(Detecting)})
        verb(**given, detecting=chosen)

    with_options.__signature__ = inspect.Signature(seen)  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in seen}
    return with_options
