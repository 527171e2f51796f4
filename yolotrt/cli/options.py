"""Options that several verbs share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from yolotrt.errors import UsageError

ENGINES = Path("engines")
CALIB_DATA = Path("calib_data")

JsonTarget = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE|-", help="Also write the result as JSON ('-' for stdout)."),
]
Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing changed.")]
Threads = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="CPU threads all groups together may use. [default: all cores]"),
]


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


def choices(text: str, option: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """Parse a comma-separated list of names out of ``allowed``.

    Raises:
        UsageError: A name is not allowed.
    """
    values = tuple(part.strip() for part in text.split(","))
    for value in values:
        if value not in allowed:
            raise UsageError(f"{option} {value!r} is unknown.", hint=f"Choose from: {', '.join(allowed)}.")
    return tuple(dict.fromkeys(values))


def cores() -> int:
    """Return the number of CPU cores this process may use."""
    import os

    return len(os.sched_getaffinity(0))
