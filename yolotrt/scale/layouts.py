"""How the results of a shard are written: a line of JSON, or a row of Parquet, for each frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yolotrt.artifacts.files import atomic_target
from yolotrt.distribution import install_hint
from yolotrt.errors import MissingDependency
from yolotrt.pipeline.adapters import Record

Layout = Literal["jsonl", "parquet"]
LAYOUTS: tuple[Layout, ...] = ("jsonl", "parquet")


@dataclass(frozen=True)
class Written:
    """A layout.

    Attributes:
        suffix: Ending of its files.
        write: Writes records of frames into a file, in their order; equal records give equal bytes.
        require: Refuses where something that it needs is missing.
    """

    suffix: str
    write: Callable[[Sequence[Record], Path], None]
    require: Callable[[], None]


def _lines(records: Sequence[Record], path: Path) -> None:
    with path.open("w", encoding="utf-8") as out:
        for record in records:
            out.write(json.dumps(record, allow_nan=False) + "\n")


def _parquet(records: Sequence[Record], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    mask = pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())])
    thing = pa.struct(
        [
            ("category_id", pa.int64()),
            ("category", pa.string()),
            ("bbox", pa.list_(pa.float64())),
            ("score", pa.float64()),
            ("segmentation", mask),
        ]
    )
    schema = pa.schema(
        [
            ("image_id", pa.int64()),
            ("image", pa.string()),
            ("frame", pa.int64()),
            ("time_s", pa.float64()),
            ("stamp_s", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("objects", pa.list_(thing)),
            ("error", pa.string()),
        ]
    )
    pq.write_table(pa.Table.from_pylist(list(records), schema=schema), path)


def _require_arrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as exc:
        raise MissingDependency(
            f"Parquet needs pyarrow ({exc}).", hint=f"{install_hint('parquet')}   (or use --format jsonl)"
        ) from exc


_WRITTEN: dict[str, Written] = {
    "jsonl": Written(".jsonl", _lines, lambda: None),
    "parquet": Written(".parquet", _parquet, _require_arrow),
}


def layout(name: str) -> Written:
    """Return a layout by its name, one of :data:`LAYOUTS`.

    Raises:
        MissingDependency: It needs a package that is not installed.
    """
    found = _WRITTEN[name]
    found.require()
    return found


def write_records(name: str, records: Sequence[Record], target: Path) -> None:
    """Write the records of a shard beside their place and rename them.

    Raises:
        StorageError: They cannot be written.
    """
    with atomic_target(target) as temporary:
        layout(name).write(records, temporary)
