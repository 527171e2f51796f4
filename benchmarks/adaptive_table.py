"""What choosing tiles costs and saves, as docs show it."""

from __future__ import annotations

from typing import Any

import numpy as np

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
        ("video", "frames", "of them with all tiles", "tiles run of 32", "frames in which all ran",
         "small found: all tiles", "chosen", "chosen of all", "later p95 / most, frames", "never seen",
         "IDF1 (HOTA): all tiles", "chosen", "p50, ms: all tiles", "chosen", "ratio", "choosing of all")
    ]  # fmt: skip
    for video in (
        video for part in ("network", "each") for video in found.get(part, {"videos": ()})["videos"]
    ):
        every, chosen = video["ways"]
        use, later = chosen["use"], chosen["later"]
        small = [way["small_recall"] for way in (every, chosen)]
        p50 = [way["latency"]["p50"] for way in (every, chosen)]
        rows.append(
            (
                video["footage"],
                str(video["frames"]),
                str(video.get("both_ran", video["frames"])),
                f"{use['run'] / use['frames']:.1f}",
                f"{use['all'] / use['frames']:.0%}",
                *(_tenths(value) for value in small),
                _tenths(small[1] / small[0] if small[0] else None),
                NOT_MEASURED
                if later is None
                else f"{later['p95']:.0f} / {later['most']:.0f} (of {later['count']})",
                str(chosen["missed"]),
                *(_ids(way["identities"]) for way in (every, chosen)),
                *(milliseconds(value) for value in p50),
                f"{p50[1] / p50[0]:.2f}x",
                f"{chosen['decide'] / p50[0]:.1%}",
            )
        )
    return rows


def gpu_latency_rows(found: Json) -> Rows:
    """Return what frames took on a GPU, below a head."""
    rows: Rows = [
        ("network", "frame from", "tiles run of 32", "p50, ms: all tiles", "chosen", "ratio", "rows up",
         "choosing", "starting", "waiting", "reading", "choosing of all")
    ]  # fmt: skip
    for one in found["latency"]:
        every, chosen, stages = one["all"]["p50"], one["chosen"]["p50"], one["stages_p50"]
        names = ("prepare_batch", "decide", "enqueue", "stream_sync", "decode")
        rows.append(
            (
                _network(one["engine"]),
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


def gpu_parts_rows(found: Json) -> Rows:
    """Return what the parts of a frame take on a GPU one after another, below a head."""
    parts = found["parts"][_PARTS_OF]
    shown = [one for one in parts["chosen"] if one["tiles"] in (1, 4, 8, 9, 12, 16)]
    batches = ("+".join(map(str, one["batches"])) for one in shown)
    rows: Rows = [(f"{_network(_PARTS_OF)}, ms", "all 32", *(f"{batch} chosen" for batch in batches))]
    for words, every, chosen in (
        ("the whole frame up, or the rows that tell", "frame_up", "rows_up"),
        ("changes counted", None, "motion_counted"), ("tiles up", None, "tiles_up"),
        ("global pass", "global_pass", "global_pass"),
        ("network of the tiles, with the search for all 32", "inferred", "inferred"),
        ("search for chosen ones", None, "searched"), ("masks drawn", "drawn", "drawn"),
        ("merged", "merged", "merged"),
        ("behind the frame: learnt", None, "learnt"),
    ):  # fmt: skip
        rows.append((words, _ms(parts["all"].get(every)), *(_ms(one.get(chosen)) for one in shown)))
    rows.append(("sum", *(_ms(_sum(one)) for one in (parts["all"], *shown))))
    return rows


def slower_rows(found: Json) -> Rows:
    """Return what to expect where only the network takes longer, below a head: reckoned, not measured."""
    rows: Rows = [("network for 32 tiles, ms", "all tiles, ms", "chosen, ms", "ratio")]
    parts = found["parts"][_PARTS_OF]
    (one,) = (o for o in found["latency"] if o["engine"] == _PARTS_OF and o["frame_buffer"])
    run = one["use"]["run"] / one["use"]["frames"]
    sizes = [p["tiles"] for p in parts["chosen"]]
    mine = float(np.interp(run, sizes, [p["inferred"] for p in parts["chosen"]]))
    every = parts["all"]["inferred"]
    for network in (every, *(1e-3 * ms for ms in SLOWER_MS)):
        grown = network / every
        whole = one["all"]["p50"] + (grown - 1) * every
        some = one["chosen"]["p50"] + (run / parts["tiles"] * network - mine if grown > 1 else 0)
        rows.append((milliseconds(network), milliseconds(whole), milliseconds(some), f"{some / whole:.2f}x"))
    return rows


def gpu_video_rows(found: Json) -> Rows:
    """Return what was found in videos on a GPU, below a head; latency is in the other table."""
    return [(*row[:2], *row[3:12]) for row in network_rows({"network": found})]


_PARTS_OF = "yolo11n-seg.fp16.sm90.fused"

SLOWER_MS = (5, 10, 33)
"""Times of 32 tiles, ms, of slower cards: 33 is what the owner of an RTX 5060 Ti names, in FP16."""


def _network(engine: str) -> str:
    return " ".join(engine.split(".")[:2])


def _sum(parts: Json) -> float:
    return sum(value for value in parts.values() if isinstance(value, float))


def _ms(seconds: float | None) -> str:
    return NOT_MEASURED if seconds is None else milliseconds(seconds)


def _ids(found: Json | None) -> str:
    return NOT_MEASURED if found is None else f"{_tenths(found['idf1'])} ({_tenths(found['hota'])})"


def _tenths(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value * 100:.1f}"
