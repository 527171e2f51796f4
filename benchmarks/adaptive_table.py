"""What choosing tiles costs and saves, as docs show it."""

from __future__ import annotations

from typing import Any

from yolotrt.report.figures import NOT_MEASURED, milliseconds

Json = dict[str, Any]
Rows = list[tuple[str, ...]]


def looks_rows(found: Json) -> Rows:
    """Return how many tiles run and how soon objects are looked at, below a head; without a network."""
    looks = found["looks"]
    seconds = looks["frames"] / 30
    rows: Rows = [
        (f"{seconds:.0f} s at 30 fps", "tiles run of 32", "frames in which all ran", "longest wait of a tile",
         "objects that came", "never looked at", "looked at after p50 / p95 / most, frames", "choosing, ms")
    ]  # fmt: skip
    for video in looks["videos"]:
        use, delay = video["use"], video["delay"]
        told = (
            NOT_MEASURED
            if delay is None
            else f"{delay['p50']:.0f} / {delay['p95']:.0f} / {delay['most']:.0f}"
        )
        part, bound = f"{use['all'] / use['frames']:.0%}", f"{use['waited']} of {use['bound']}"
        rows.append(
            (video["footage"], f"{use['run'] / use['frames']:.1f}", part, bound,
             str(video["came"]), str(video["never"]), told, milliseconds(video["choosing_cpu_s"]))
        )  # fmt: skip
    return rows


def network_rows(found: Json) -> Rows:
    """Return chosen tiles against all of them, below a head."""
    rows: Rows = [
        ("video", "frames", "tiles run of 32", "small found: all tiles", "chosen", "chosen of all",
         "later p95, frames", "never seen", "IDF1: all tiles", "chosen", "p50, ms: all tiles", "chosen",
         "ratio", "choosing of all")
    ]  # fmt: skip
    for video in found["network"]["videos"]:
        every, chosen = video["ways"]
        use, later = chosen["use"], chosen["later"]
        small = [way["small_recall"] for way in (every, chosen)]
        p50 = [way["latency"]["p50"] for way in (every, chosen)]
        rows.append(
            (
                video["footage"],
                str(video["frames"]),
                f"{use['run'] / use['frames']:.1f}",
                *(_tenths(value) for value in small),
                _tenths(small[1] / small[0] if small[0] else None),
                NOT_MEASURED if later is None else f"{later['p95']:.0f} (of {later['count']})",
                str(chosen["missed"]),
                *(_tenths(way["identities"] and way["identities"]["idf1"]) for way in (every, chosen)),
                *(milliseconds(value) for value in p50),
                f"{p50[1] / p50[0]:.2f}x",
                f"{chosen['decide'] / p50[0]:.1%}",
            )
        )
    return rows


def gpu_latency_rows(found: Json) -> Rows:
    """Return what frames took on a GPU, below a head."""
    rows: Rows = [
        ("network", "frame from", "tiles run of 32", "p50, ms: all tiles", "chosen", "ratio",
         "rows up, and the last looks compared", "choosing", "starting", "waiting", "reading",
         "choosing of all")
    ]  # fmt: skip
    for one in found["latency"]:
        every, chosen, stages = one["all"]["p50"], one["chosen"]["p50"], one["stages_p50"]
        names = ("prepare_batch", "decide", "enqueue", "stream_sync", "decode")
        rows.append(
            (
                " ".join(one["engine"].split(".")[:2]),
                "`frame_buffer`" if one["frame_buffer"] else "ordinary memory",
                f"{one['use']['run'] / one['use']['frames']:.1f}",
                milliseconds(every),
                milliseconds(chosen),
                f"{chosen / every:.2f}x",
                *(milliseconds(stages[name]) for name in names),
                f"{stages['decide'] / every:.0%}",
            )
        )
    return rows


def gpu_video_rows(found: Json) -> Rows:
    """Return what was found in videos on a GPU, below a head; latency is in the other table."""
    return [(*row[:10],) for row in network_rows({"network": found})]


def _tenths(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.1f}"
