"""Where a measurement's result goes: to the terminal, and to a file if one was named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from yolotrt.artifacts.documents import as_values
from yolotrt.artifacts.files import write_text


def emit(result: dict[str, Any], target: Path | None) -> None:
    """Print a result, values and dataclasses, as JSON and, if ``target`` is given, write the same there."""
    text = json.dumps(as_values(result), indent=1)
    print(text)
    if target:
        write_text(target, text + "\n")
