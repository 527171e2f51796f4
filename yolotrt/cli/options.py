"""Options that several verbs share, declared once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from yolotrt.backends.names import NAMES
from yolotrt.data.formats.names import FORMATS
from yolotrt.errors import UsageError
from yolotrt.pipeline.merge_methods import MERGE_METHODS, METHODS
from yolotrt.pipeline.modes import DEFAULT_MODE

if TYPE_CHECKING:
    from yolotrt.pipeline.merge import MergeSettings

Name = TypeVar("Name", bound=str)

GROUPS = "1,2,4,8"
"""Numbers of tile groups that are compared unless the user names others."""

ENGINES = Path("engines")
CALIB_DATA = Path("calib_data")

JsonTarget = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON ('-' for stdout)."),
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing changed.")]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="CPU threads all groups together may use; not on a GPU. [default: all cores]"
    ),
]

Backend = Annotated[str, typer.Option("--backend", help=f"auto, {', '.join(NAMES)}.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        help="Where to run: auto, cpu, cuda:0 (or 0), or tiles dealt out over GPUs with cuda:0,1.",
    ),
]
Depth = Annotated[
    int,
    typer.Option(
        "--pipeline-depth",
        min=1,
        max=2,
        help="Frames in flight on a GPU; 2 uploads one while another computes.",
    ),
]

Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Fetch what is missing (weights, COCO images) without asking.")
]

ImageSize = Annotated[
    str,
    typer.Option(
        "--imgsz", help="Input size when weights are exported, px: 640, or height x width as in 384x640."
    ),
]

SOURCES = (
    "A picture, a folder, a video, a pattern ('*.jpg'), a camera (0), an address (rtsp://...) or 'scene'"
)
Sources = Annotated[
    list[str] | None, typer.Option("--source", help=f"{SOURCES}; may be given several times.")
]
MeasuredSources = Annotated[
    list[str] | None,
    typer.Option(
        "--source",
        help=f"{SOURCES}; its first 16 frames. May be given several times. [default: scene]",
    ),
]

Trust = Annotated[
    bool,
    typer.Option("--trust", help="Also load files that nothing vouches for; they can run any code."),
]

Images = Annotated[
    Path | None,
    typer.Option(
        help="Folder of images to calibrate INT8 on, or a data.yaml (its train images). "
        "[default: the cache of this model]"
    ),
]
Annotations = Annotated[Path, typer.Option(help=f"{', or '.join(reversed(FORMATS.values()))}.")]
AnnotatedImages = Annotated[
    Path | None, typer.Option(help="Folder of the annotated images; a data.yaml names its images itself.")
]
SplitOption = Annotated[str, typer.Option(help="Which images of a data.yaml: val, train or test.")]
Limit = Annotated[int | None, typer.Option("-n", "--limit", min=1, help="Use at most this many images.")]
Method = Annotated[
    str,
    typer.Option(
        help="How ranges are chosen: mse, entropy, percentile, minmax, or per tensor the best of them."
    ),
]
Tiles = Annotated[
    bool, typer.Option("--tiles", help="Calibrate on native-resolution tiles of large images, too.")
]


def _known_overlap(overlap: float) -> float:
    """Refuse an overlap that is none, and say once what none at all loses."""
    from yolotrt.cli.console import warn
    from yolotrt.geometry.tile_overlap import require_overlap

    require_overlap(overlap)
    if overlap == 0:
        warn(
            "with --overlap 0 an object on a tile border is found in pieces, one per tile, or not at all: "
            "tiles that share no pixels cannot be joined. 0.2 is usual."
        )
    return overlap


Mode = Annotated[
    str, typer.Option("--mode", help=f"{DEFAULT_MODE} (what an application runs), tiled or global.")
]

Overlap = Annotated[
    float,
    typer.Option(
        "--overlap",
        callback=_known_overlap,
        help="Part of a tile shared with its neighbour, from 0 (objects on borders are lost) to below 1.",
    ),
]

TileOption = Annotated[
    str,
    typer.Option(
        "--tiles",
        metavar="all|adaptive[:N]|roi:FILE",
        help="Which tiles run: all; where something may have changed, each at least every N frames (15); "
        "those that touch the polygons of a file; or the last two, with a comma.",
    ),
]
Track = Annotated[
    bool, typer.Option("--track", help="Number the objects of each video, from frame to frame (extra track).")
]


def tiles_file(text: str) -> Path | None:
    """Return the file that ``--tiles`` reads, which no output may replace."""
    from yolotrt.pipeline.tile_choice import regions_file

    return regions_file(text)


BY_OVERLAP = [name for name, method in METHODS.items() if method.by_overlap]

MergeOption = Annotated[
    str,
    typer.Option(
        "--merge",
        help=f"How tiles are joined: {', '.join(f'{name} ({m.summary})' for name, m in METHODS.items())}.",
    ),
]
MergeOverlap = Annotated[
    str | None,
    typer.Option(
        "--merge-overlap",
        metavar="METRIC-SHAPE:T",
        help=f"How {' and '.join(BY_OVERLAP)} compare: iou or ios, of boxes or masks, above T. "
        "[default: ios-boxes:0.5]",
    ),
]


def merge_settings(method: str, overlap: str | None) -> MergeSettings:
    """Parse ``--merge`` and ``--merge-overlap``.

    Raises:
        UsageError: A name is unknown, the overlap is not in [0, 1), or the method takes none.
    """
    from yolotrt.pipeline.merge import METRICS, SHAPES, MergeSettings

    chosen = choice(method, "--merge", MERGE_METHODS)
    if not METHODS[chosen].by_overlap:
        if overlap is not None:
            raise UsageError(
                f"--merge-overlap is for --merge {' and '.join(BY_OVERLAP)}.",
                hint=f"Add --merge {BY_OVERLAP[0]}, or leave it out.",
            )
        return MergeSettings(chosen)
    found = re.fullmatch(r"(\w+)-(\w+):(\d*\.?\d+)", overlap or "ios-boxes:0.5")
    if not found:
        raise UsageError(
            f"--merge-overlap {overlap!r} is not like METRIC-SHAPE:T.", hint="Like this: iou-masks:0.5"
        )
    metric, shape = choice(found[1], "--merge-overlap", METRICS), choice(found[2], "--merge-overlap", SHAPES)
    return MergeSettings(chosen, float(found[3]), metric, shape)


def image_size(text: str, option: str = "--imgsz") -> tuple[int, int]:
    """Parse ``640``, or height and width as in ``384x640``, as Ultralytics orders them.

    Returns:
        Height and width, px.

    Raises:
        UsageError: It is neither.
    """
    found = re.fullmatch(r"(\d{1,5})(?:[xX,](\d{1,5}))?", text.strip())
    if not found:
        raise UsageError(f"{option} {text!r} is no size.", hint="Like this: 640, or 384x640 (height x width)")
    return int(found[1]), int(found[2] or found[1])


def whole_numbers(text: str, option: str) -> tuple[int, ...]:
    """Parse ``1,2,4,8``.

    Raises:
        UsageError: Something in it is not a positive whole number.
    """
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or any(v < 1 for v in values):
        raise UsageError(
            f"{option} {text!r} is not a list of positive whole numbers.", hint="Like this: 1,2,4,8"
        )
    return tuple(dict.fromkeys(values))


def choices(text: str, option: str, allowed: tuple[Name, ...]) -> tuple[Name, ...]:
    """Parse a comma-separated list of names out of ``allowed``.

    Raises:
        UsageError: A name is not allowed.
    """
    known = {str(name): name for name in allowed}
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if part not in known:
            raise UsageError(f"{option} {part!r} is unknown.", hint=f"Choose from: {', '.join(known)}.")
    return tuple(dict.fromkeys(known[part] for part in parts))


def choice(text: str, option: str, allowed: tuple[Name, ...]) -> Name:
    """Parse one name out of ``allowed``.

    Raises:
        UsageError: The name is not allowed.
    """
    if text not in allowed:
        raise UsageError(f"{option} {text!r} is unknown.", hint=f"Choose from: {', '.join(allowed)}.")
    return allowed[allowed.index(text)]


def width_height(text: str, option: str) -> tuple[int, int]:
    """Parse ``3840x2160``.

    Raises:
        UsageError: It is not two whole numbers, or more pixels than a picture may have.
    """
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not found:
        raise UsageError(f"{option} {text!r} is not a width and height.", hint="Like this: 3840x2160")
    from yolotrt.data.images import MAX_PIXELS

    width, height = int(found[1]), int(found[2])
    if width * height > MAX_PIXELS:
        raise UsageError(
            f"{option} {text} is {width * height:,} pixels, more than the limit of {MAX_PIXELS:,}.",
            hint="Choose a smaller one, such as 3840x2160.",
        )
    return width, height


def cores() -> int:
    """Return the number of CPU cores this process may use."""
    import os

    return len(os.sched_getaffinity(0))
