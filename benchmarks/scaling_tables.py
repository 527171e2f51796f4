"""Batches on Ray and the service under load, as docs show them."""

from __future__ import annotations

from statistics import median
from typing import Any

from benchmarks.markdown import table_of

Json = dict[str, Any]


def kills(found: Json) -> str:
    """Return what kills at random moments left."""
    rows = []
    for campaign in found["campaigns"]:
        there = sorted(count for _, count in campaign["moments"])
        again = sum("computed" in problem or "written again" in problem for problem in campaign["problems"])
        rows.append(
            (
                f"the {campaign['what']}" if campaign["what"] != "worker" else "a worker",
                str(campaign["kills"]),
                f"{there[0]} to {there[-1]}, median {median(there):g}",
                str(campaign["completed_by_itself"]) if campaign["what"] == "worker" else "",
                str(again),
                str(len(campaign["problems"])),
            )
        )
    head = ("killed", "times", f"results of {found['shards']} that were there", "went on by itself",
            "computed or written again", "problems")  # fmt: skip
    return table_of(head, rows, left=1)


def overhead(found: Json) -> str:
    """Return what Ray costs beside local processes."""
    measured = found["overhead"]
    runs = measured["runs"]
    rows = []
    for key, what in (("wall_s", "the whole command"), ("worked_s", "from the start of the first worker")):
        local, ray = (median(run[key] for run in runs[name]) for name in ("local", "ray"))
        other = f"{runs['ray_data'][0][key]:.1f}" if key in runs["ray_data"][0] else ""
        rows.append((what, f"{local:.1f}", f"{ray:.1f}", f"{ray / local:.3f}", f"{ray - local:.1f}", other))
    head = (f"{measured['pictures']} pictures, 2 workers; s", "processes", "Ray", "ratio", "more", "Ray Data")
    return table_of(head, rows, left=1) + (
        f"\nMedians of {len(runs['ray'])} runs of each in turn. {_busy(found)}\n"
    )


def service(found: Json) -> str:
    """Return what callers of the service saw."""
    names = ("80 % of the capacity", "200 %", "80 % after it", "80 %, at random")
    rows = []
    for name, phase in zip(names, found["phases"], strict=True):
        answers = dict(phase["answers"])
        served, refused = answers.pop("200", 0), answers.pop("429", 0)
        rows.append(
            (
                name,
                f"{phase['rate']:.1f}",
                f"{phase['seconds']:.0f}",
                str(served),
                str(refused),
                str(sum(answers.values())),
                f"{phase['p50_s'] * 1e3:.0f}",
                f"{phase['p99_s'] * 1e3:.0f}",
                f"{phase['p99_s'] / phase['p50_s']:.1f}" if phase["p50_s"] else "",
                f"{phase['caller_cpu']:.2f}",
            )
        )
    head = ("pictures come", "in a second", "for, s", "served", "refused (429)", "neither", "p50, ms",
            "p99, ms", "p99 / p50", "cores of the caller")  # fmt: skip
    under = found["phases"][0]
    memory = ", ".join(
        f"{what} {under[key][1]:.0f} MiB after a tenth of the time and {under[key][-1]:.0f} at its end"
        for what, key in (("the replica", "replica_mib"), ("all processes of the service", "service_mib"))
    )
    recovered = found["recovered_s"]
    said = "Answers did not come as before again" if recovered is None else (
        f"{recovered:.1f} s after the last picture of 200 % answers came as before"
    )  # fmt: skip
    missed = [goal for goal, held in found["held"].items() if not held]
    goals = f"Missed: {'; '.join(missed)}." if missed else "Every goal was held."
    return table_of(head, rows, left=1) + (
        f"\nCapacity: {found['capacity']:.1f} pictures/s. {said}. At 80 %, {memory}. {goals} {_busy(found)}\n"
    )


def _busy(found: Json) -> str:
    about = found["environment"]
    return f"{about['threads']} cores; load of the machine before: {about['load_1min']:.1f}."
