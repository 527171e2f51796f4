"""One frame, and one camera each, over 1, 2, 4 and 8 GPUs: simulated from what was measured on one.

    python -m benchmarks.gpu_scaling [--measured benchmarks/results/fused.json] [--json FILE]

The simulation goes through a frame as the pipeline does: the host copies bands, starts each GPU's uploads and
parts one after another, each GPU computes as rows arrive, the last one brings the others' results and merges,
the host reads. What each step takes was measured on one GPU (:class:`Parts`), but for three things: batches
that were not measured lie on a line between those that were; each GPU has a link of its own; results are
brought through host memory, at the rate of uploads.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import emit
from yolotrt.geometry.tiles import TileGrid, split_groups, tile_grid
from yolotrt.pipeline.device.jobs import rows_of
from yolotrt.pipeline.device.share import Share, deal

RESULTS = Path(__file__).parent / "results"
GPUS = (1, 2, 4, 8)
FRAME_WH, TILE_WH = (3840, 2160), (640, 640)

SESSION = "masks leave as the GPU wrote them, threads copy and nothing else"
COPIES = "before that, another host"
NETWORK = "YOLO11n-seg, torch.compile beside, batches 1, 4 and 32 in one run"
BEFORE_THE_REST = 0.25
"""Part of the network that runs for each row of tiles as it arrives: its first nine layers."""


@dataclass(frozen=True)
class Parts:
    """What was measured on one GPU, seconds.

    Attributes:
        copied: Copying a frame into page-locked memory, in a frame.
        copied_alone: A frame's share of copying many one after another: what the memory gives.
        upload_rate: Bytes a second from there to a GPU.
        network: By batch, as a CUDA graph.
        found: From the last layer to masks on the host, without the kernels that depend on how many tiles.
        drawn: Those kernels, for all tiles.
        global_pass: How much longer a frame takes with the global pass beside its tiles.
        merged: Merging on the GPU.
        call: The host, for each upload and each part of the work that it starts.
        submitted: The host, for what it starts behind them.
        read: The host, from masks to detections.
        result_bytes: Records and masks of all tiles.
    """

    copied: float
    copied_alone: float
    upload_rate: float
    network: dict[int, float]
    found: float
    drawn: float
    global_pass: float
    merged: float
    call: float
    submitted: float
    read: float
    result_bytes: float

    @classmethod
    def of(cls, measured: dict[str, Any]) -> Parts:
        """Take them from a result of ``benchmarks.bench_gpu`` and ``benchmarks.fused_network``."""
        frame = measured["frame"][SESSION]
        p50 = {(case["engine"], case["groups"]): case["p50_s"] for case in frame["frame"]["cases"]}
        one, four = (p50["frame, page-locked source", groups] for groups in (1, 4))
        kernels = frame["kernels"]["kernels"]
        drawn = sum(kernels[f"{name} (tiles)"]["seconds"] for name in ("find_candidates", "draw_masks"))
        return cls(
            p50["frame", 1]["prepare_batch"],
            min(c["seconds_per_frame"] for c in measured["frame"][COPIES]["copying"].values()),
            frame["kernels"]["upload"]["bytes_per_second"],
            _network(measured["network"][NETWORK]),
            p50["frame, page-locked source, stages measured", 1]["device_decode"] - drawn,
            drawn,
            max(0.0, p50["frame, stages measured", 1]["end_to_end"] - p50["tiles only", 1]["end_to_end"]),
            kernels["merging"]["seconds"],
            # A group of all tiles is six parts with the global pass, four groups of a row each are nine.
            (four["prepare_batch"] - one["prepare_batch"]) / 3,
            one["enqueue"],
            one["decode"],
            kernels["merging"]["bytes"],
        )

    def batch(self, images: int) -> float:
        """Return the network's time for a batch."""
        return float(np.interp(images, sorted(self.network), [self.network[n] for n in sorted(self.network)]))


@dataclass(frozen=True)
class Simulated:
    """One frame over some GPUs, seconds from its beginning.

    Attributes:
        gpus: How many.
        end: When its detections are there.
        copied: When the frame is in page-locked memory; 0 if it was there.
        submitted: When the host has started everything.
        drawn: When the slowest GPU has drawn its masks.
        merged: When all is merged.
        host_waits: How long the host has nothing to do in between.
    """

    gpus: int
    end: float
    copied: float
    submitted: float
    drawn: float
    merged: float
    host_waits: float


def one_frame(parts: Parts, gpus: int, *, in_place: bool, global_pass: bool) -> Simulated:
    """Simulate a frame whose tiles are dealt out to GPUs, one group for each."""
    grid = tile_grid(FRAME_WH, TILE_WH)
    shares = deal(split_groups(len(grid.origins), gpus), gpus, runs_global=global_pass)
    host, computed, link = 0.0, [0.0] * gpus, [0.0] * gpus
    row_bytes = FRAME_WH[0] * 3
    bands = _bands(shares, grid, in_place=in_place)
    at_once = in_place and gpus > 1
    arrivals: list[float] = []
    for gpu, _, first, end in bands if at_once else ():  # all copies before the work on them
        host += parts.call
        link[gpu] = max(link[gpu], host) + len(range(first, end)) * row_bytes / parts.upload_rate
        arrivals.append(link[gpu])
    ends = {gpu: (first, end) for gpu, _, first, end in bands}
    for index, (gpu, share, first, end) in enumerate(bands):
        if not in_place:  # the copy goes on beside the calls
            host = max(host, parts.copied * end / FRAME_WH[1])
        rows = range(max(first, (own := rows_of(share, grid)).start), min(end, own.stop))
        if not rows:
            continue
        if not at_once:
            host += parts.call
            link[gpu] = max(link[gpu], host) + len(rows) * row_bytes / parts.upload_rate
        there = arrivals[index] if at_once else link[gpu]
        network = parts.batch(max(len(share.tiles), 1)) / max(len(share.tiles), 1)
        for group in share.groups:
            if arrived := sum(first < _need(grid, tile) <= end for tile in group):
                host += parts.call
                begun = BEFORE_THE_REST * network * arrived
                computed[gpu] = max(computed[gpu], there, host) + begun
            if arrived and max(_need(grid, tile) for tile in group) <= end:
                host += parts.call
                computed[gpu] = max(computed[gpu], host) + (1 - BEFORE_THE_REST) * network * len(group)
        if share.runs_global and (first, end) == ends[gpu]:
            host += parts.call
            alone = parts.global_pass if share.groups else parts.batch(1)
            computed[gpu] = max(computed[gpu], there, host) + alone
    for gpu, share in enumerate(shares):
        host += parts.submitted
        drawn = parts.found + parts.drawn * len(share.tiles) / len(grid.origins)
        computed[gpu] = max(computed[gpu], host) + drawn
    masks = max(computed)
    merged = masks + parts.result_bytes * (gpus - 1) / gpus / parts.upload_rate + parts.merged
    done = max(merged, masks + parts.read)
    return Simulated(
        gpus, done, 0.0 if in_place else parts.copied, host, masks, merged, max(0.0, masks - host)
    )


def cameras(parts: Parts, gpus: int, *, in_place: bool) -> dict[str, float]:
    """Return frames a second of a camera and a process for each GPU, and what bounds them.

    They share nothing but the memory: copies are bounded by what it gives. In one process they share the
    interpreter as well, whose threads take longer to hand it over than they hold it: that is measured, not
    simulated (``benchmarks.several_gpus``).
    """
    alone = one_frame(parts, 1, in_place=in_place, global_pass=True)
    bounds = {"gpus": gpus / alone.end}
    if not in_place:
        bounds["copies"] = 1 / parts.copied_alone
    return {
        "frames_per_second": min(bounds.values()),
        **{f"bound_by_{name}": v for name, v in bounds.items()},
    }


def _bands(shares: Sequence[Share], grid: TileGrid, *, in_place: bool) -> list[tuple[int, Share, int, int]]:
    """Return which rows are uploaded to which GPU, in the order in which the host starts that."""
    own = [[0, *sorted({FRAME_WH[1], *(_need(grid, t) for t in share.tiles)})] for share in shares]
    if in_place and len(shares) > 1:  # rows of the tiles first
        wanted = [
            list(pairwise(_of_tiles(share, grid, bounds))) for share, bounds in zip(shares, own, strict=True)
        ]
        for share, bands in zip(shares, wanted, strict=True):
            if share.runs_global and bands[0][0] > 0:
                bands.append((0, bands[0][0]))
        turns = zip_longest(*wanted)
        return [(g, shares[g], *band) for turn in turns for g, band in enumerate(turn) if band]
    if in_place:
        turns = zip_longest(*(pairwise(bounds) for bounds in own))
        return [(g, shares[g], *band) for turn in turns for g, band in enumerate(turn) if band]
    rows = sorted({row for bounds in own for row in bounds})
    return [(g, share, *band) for band in pairwise(rows) for g, share in enumerate(shares)]


def _of_tiles(share: Share, grid: TileGrid, bounds: Sequence[int]) -> list[int]:
    """Return the bounds of what a GPU's tiles read, and of all that is below if it runs the global pass."""
    if not share.tiles:
        return list(bounds)
    rows = range(grid.origins[share.tiles[0]][1], max(_need(grid, t) for t in share.tiles))
    last = FRAME_WH[1] if share.runs_global else rows.stop
    return [rows.start, *(bound for bound in bounds if rows.start < bound <= last)]


def _need(grid: TileGrid, tile: int) -> int:
    return min(grid.origins[tile][1] + grid.tile_wh[1], grid.frame_wh[1])


def _network(session: dict[str, Any]) -> dict[int, float]:
    """Return the fused engine's medians by batch."""
    batches = session["networks"]["yolo11n-seg"]["batches"]
    return {int(batch): case["p50_ms"]["fused"] / 1e3 for batch, case in batches.items()}


def report(measured: dict[str, Any]) -> dict[str, Any]:
    """Return everything that the simulation says, and what it was made from."""
    parts = Parts.of(measured)
    frames = {
        f"{mode}, {source}": [
            asdict(one_frame(parts, n, in_place=source != "pageable", global_pass=mode == "whole frame"))
            for n in GPUS
        ]
        for mode in ("tiles", "whole frame")
        for source in ("pageable", "frame_buffer")
    }
    cases = measured["frame"][SESSION]["frame"]["cases"]
    return {
        "parts": asdict(parts),
        "frames": frames,
        "cameras": {
            source: {str(n): cameras(parts, n, in_place=source != "pageable") for n in GPUS}
            for source in ("pageable", "frame_buffer")
        },
        "measured_on_one": {
            c["engine"]: c["p50_s"]["end_to_end"]
            for c in cases
            if c["dispatch"] == "graph" and c["groups"] == 1
        },
    }


def table(found: dict[str, Any]) -> str:
    """Return the frames as a table, in ms and times one GPU."""
    lines = [
        "| ms, times one GPU | " + " | ".join(f"{n} GPU{'s'[: n > 1]}" for n in GPUS) + " |",
        "| --- |" + " ---: |" * len(GPUS),
    ]
    for name, row in found["frames"].items():
        cells = (f"{r['end'] * 1e3:.2f} ({r['end'] / row[0]['end']:.2f}x)" for r in row)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for source, row in found["cameras"].items():
        cells = (f"{row[str(n)]['frames_per_second']:.0f}" for n in GPUS)
        lines.append(
            f"| a camera and a process each, frames/s at most, {source} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measured", type=Path, default=RESULTS / "fused.json")
    parser.add_argument("--json", type=Path, help="also write it to this file")
    options = parser.parse_args()
    found = report(json.loads(options.measured.read_text()))
    emit(found, options.json)
    print(table(found))


if __name__ == "__main__":
    main()
