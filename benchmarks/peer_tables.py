"""Other tools beside yolotrt as README and docs show them, each with version, precision and batch."""

from __future__ import annotations

from typing import Any

from yolotrt.bench.statistics import paired_ratio
from yolotrt.report.figures import milliseconds

HEAD = ("tool", "how", "precision", "batch", "ms", "times ours", "objects")


def frame_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return whole frames below a head; times are against the first row, paired by round."""
    rows = [(*_named(row), str(row["objects"])) for row in found["frames"]]
    return [HEAD, *rows]


def network_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return networks alone below a head; times are against ours of the same file and batch, paired."""
    rows: list[tuple[str, ...]] = [HEAD[:-1]]
    for row in found["networks"]:
        file = "int8" if row["precision"].startswith("int8") else "fp32"
        alike = [one for one in found["networks"] if (one["batch"], one["precision"]) == (row["batch"], file)]
        ours = next(one for one in alike if one["tool"] == "yolotrt")
        ratio = paired_ratio(row["samples_s"], ours["samples_s"])
        rows.append(_named(row, ratio.value if ratio else None))
    return rows


def _named(row: dict[str, Any], times: float | None = None) -> tuple[str, ...]:
    ratio = row["times_the_first"] if times is None else times
    shown = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
    return (
        row["tool"],
        row["how"],
        row["precision"],
        str(row["batch"]),
        milliseconds(row["median_s"]),
        shown,
    )


def beside(found: dict[str, Any]) -> tuple[str, str]:
    """Return the fastest whole frame of each tool that runs the same network, and ours."""
    best: dict[str, dict[str, Any]] = {}
    for row in found["frames"]:
        tool = row["tool"].split()[0]
        if "another network" not in row["how"] and (
            tool not in best or row["median_s"] < best[tool]["median_s"]
        ):
            best[tool] = row
    others = [f"{tool} {_brief(row)}" for tool, row in best.items() if tool != "yolotrt"]
    ours = [_brief(row) for row in found["frames"] if row["tool"].startswith("yolotrt")]
    return ", ".join(others), ", ".join(ours)


def _brief(row: dict[str, Any]) -> str:
    return f"{milliseconds(row['median_s'])} ({row['precision']})"


def measuring_rows(*found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return what measuring adds to a frame, within, behind and between frames, below a head."""
    head = (
        "frame on",
        "without, ms",
        "with, ms",
        "paired",
        "95 % interval",
        "behind it, ms",
        "between two, ms",
    )
    rows: list[tuple[str, ...]] = [head]
    for one in found:
        low, high = ((end - 1) * 100 for end in one["interval"])
        where = one["environment"]["gpu"]["name"] if one["device"] != "cpu" else "a processor"
        rows.append(
            (
                where,
                milliseconds(one["plain_s"]),
                milliseconds(one["measured_s"]),
                f"{(one['measured_over_plain'] - 1) * 100:+.1f} %",
                f"{low:+.1f} to {high:+.1f} %",
                milliseconds(one["behind_s"]),
                milliseconds(one["between_s"]),
            )
        )
    return rows


def session_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Return how long each setting takes against ours, by engine and batch, below a head."""
    runs = {
        f"{run['rows'][0]['precision']}, batch {run['batch']}": {
            f"{row['tool']}, {row['how']}": row for row in run["rows"]
        }
        for run in found["runs"]
    }
    settings = list(dict.fromkeys(name for rows in runs.values() for name in rows))
    told = [
        (name, *(f"{rows[name]['times_the_first']:.2f}" if name in rows else "-" for rows in runs.values()))
        for name in settings
    ]
    return [("time against ours", *runs), *told]
