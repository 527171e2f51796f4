"""Decode an engine's outputs on the GPU: candidates, suppression, masks. Only results come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolotrt.cuda.device import Buffer, Device, Launch, Scope, Stream
from yolotrt.cuda.driver import Argument
from yolotrt.cuda.tensor import TensorType
from yolotrt.errors import UsageError
from yolotrt.geometry.letterbox import Letterbox
from yolotrt.model.spec import ModelSpec
from yolotrt.pipeline.decode import DecodeSettings
from yolotrt.pipeline.device.masks import MaskTables
from yolotrt.pipeline.device.results import CANDIDATE, HEADER, RECORD, Results

THREADS = 256
MOST_COEFFICIENTS = 64
"""As in masks.cu."""

_MASK_BLOCKS = 8
"""Blocks of the mask kernel per multiprocessor; they share the work among themselves."""


@dataclass(frozen=True)
class Outputs:
    """An engine's outputs for all images of a pass.

    Attributes:
        head: Address of the detection output.
        head_type: Its type; the batch is the number of images.
        prototypes: Address of the prototypes.
        prototypes_type: Their type.
    """

    head: int
    head_type: TensorType
    prototypes: int
    prototypes_type: TensorType


class DeviceDecoder:
    """Scratch memory and tables for decoding one pass.

    Args:
        device: The GPU.
        scope: Owns the memory.
        outputs: What is decoded.
        spec: The network's interface.
        placement: How every image of the pass lies in the network's input.
        settings: Thresholds.

    Attributes:
        images: Images of the pass.
        limit: Most detections of an image.
        kept: What the last search found, image after image: (images * limit) of ``CANDIDATE``, in px of each;
            ``counts``: (images,) int32, how many.
        header: What the last decoding found, on the GPU: one of ``HEADER``.
        records: And its detections, image after image: (images * limit) of ``RECORD``.

    Raises:
        UsageError: A setting needs the CPU's decoder.
    """

    def __init__(
        self,
        device: Device,
        scope: Scope,
        outputs: Outputs,
        spec: ModelSpec,
        placement: Letterbox,
        settings: DecodeSettings,
    ) -> None:
        if settings.multi_label:
            raise UsageError(
                "Boxes with several classes are not decoded on the GPU.", hint="Decode with --device cpu."
            )
        if spec.mask_coeffs > MOST_COEFFICIENTS:
            raise UsageError(f"More than {MOST_COEFFICIENTS} mask coefficients are not supported on the GPU.")
        self.images = outputs.head_type.shape[0]
        self.limit = min(settings.max_det, outputs.head_type.shape[2 if spec.head == "raw" else 1])
        self._device, self._outputs, self._spec = device, outputs, spec
        self._placement, self._settings = placement, settings
        raw = spec.head == "raw"
        slots = self.images * self.limit
        self._state = scope.constant(np.zeros(self.images + 1, np.int32))
        anchors = outputs.head_type.shape[2] if raw else 0
        self._candidates = scope.buffer(self.images * anchors * CANDIDATE.itemsize)
        self.kept = scope.buffer(slots * CANDIDATE.itemsize)
        self.counts = scope.buffer(self.images * 4)
        self._first = scope.buffer(self.images * 4)
        self.header = scope.buffer(HEADER.itemsize)
        self.records = scope.buffer(slots * RECORD.itemsize)
        self._tables = self._upload_tables(scope) if settings.masks else None
        self._raw = raw

    def into(self, results: Results, parts: Sequence[range] | None = None) -> DecodeWork:
        """Return the work of decoding into these results.

        Args:
            results: Where it goes.
            parts: Images whose detections are searched for together; None takes all at once.
        """
        launches = self._raw_launches if self._raw else self._end2end_launches
        search = tuple(launches(part) for part in parts or [range(self.images)])
        draw = () if self._tables is None else (self._draw(results),)
        return DecodeWork(self._state, search, (self._lay_out(results), *draw))

    def _upload_tables(self, scope: Scope) -> tuple[MaskTables, Buffer, Buffer]:
        """Put the interpolation tables on the device."""
        height, width = self._outputs.prototypes_type.shape[2:]
        tables = MaskTables.of(self._placement, (width, height))
        return tables, scope.constant(tables.columns), scope.constant(tables.rows)

    def _placement_arguments(self) -> list[Argument]:
        p = self._placement
        return [
            ("float", p.pad_xy[0]),
            ("float", p.pad_xy[1]),
            ("float", p.resized_wh[0] / p.image_wh[0]),
            ("float", p.resized_wh[1] / p.image_wh[1]),
            ("int", p.image_wh[0]),
            ("int", p.image_wh[1]),
        ]

    def _raw_launches(self, part: range) -> tuple[Launch, ...]:
        _, rows, anchors = self._outputs.head_type.shape
        settings, defines = self._settings, {"HALF": int(self._outputs.head_type.half)}
        find: list[Argument] = [
            ("pointer", self._outputs.head),
            ("int", rows),
            ("int", len(self._spec.names)),
            ("int", anchors),
            ("float", settings.conf),
            ("int", part.start),
            ("int", self.images),
            ("pointer", self._state.address),
            ("pointer", self._candidates.address),
        ]
        keep: list[Argument] = [
            ("pointer", self._state.address),
            ("pointer", self._candidates.address),
            ("int", anchors),
            ("double", settings.iou),
            ("int", part.start),
            ("int", self.limit),
            *self._placement_arguments(),
            ("pointer", self.kept.address),
            ("pointer", self.counts.address),
        ]
        return (
            self._device.launch(
                "candidates",
                "find_candidates",
                grid=(-(-anchors // THREADS), len(part), 1),
                block=(THREADS, 1, 1),
                arguments=find,
                defines=defines,
            ),
            self._device.launch(
                "candidates",
                "keep_best",
                grid=(len(part), 1, 1),
                block=(THREADS, 1, 1),
                arguments=keep,
                defines=defines,
            ),
        )

    def _end2end_launches(self, part: range) -> tuple[Launch, ...]:
        _, rows, columns = self._outputs.head_type.shape
        arguments: list[Argument] = [
            ("pointer", self._outputs.head),
            ("int", rows),
            ("int", columns),
            ("float", self._settings.conf),
            ("int", self.limit),
            *self._placement_arguments(),
            ("int", part.start),
            ("int", self.images),
            ("pointer", self._state.address),
            ("pointer", self.kept.address),
            ("pointer", self.counts.address),
        ]
        return (
            self._device.launch(
                "candidates",
                "read_end2end",
                grid=(len(part), 1, 1),
                block=(THREADS, 1, 1),
                arguments=arguments,
                defines={"HALF": int(self._outputs.head_type.half)},
            ),
        )

    def _mask_defines(self) -> dict[str, int]:
        outputs = self._outputs
        return {"HEAD_HALF": int(outputs.head_type.half), "PROTO_HALF": int(outputs.prototypes_type.half)}

    def _lay_out(self, results: Results) -> Launch:
        arguments: list[Argument] = [
            ("pointer", self.kept.address),
            ("pointer", self.counts.address),
            ("int", self.images),
            ("int", self.limit),
            ("pointer", self._state.address),
            ("int", self._placement.image_wh[0]),
            ("int", self._placement.image_wh[1]),
            ("int", self._tables[0].unit_rows if self._tables else 0),
            ("pointer", self._first.address),
            ("pointer", self.header.address),
            ("pointer", self.records.address),
            ("pointer", results.header.address),
            ("pointer", results.records.address),
        ]
        return self._device.launch(
            "masks",
            "lay_out",
            grid=(1, 1, 1),
            block=(1024, 1, 1),
            arguments=arguments,
            defines=self._mask_defines(),
        )

    def _draw(self, results: Results) -> Launch:
        assert self._tables is not None
        tables, columns, rows = self._tables
        outputs, spec = self._outputs, self._spec
        _, first, second = outputs.head_type.shape
        raw = spec.head == "raw"
        _, coefficients, height, width = outputs.prototypes_type.shape
        arguments: list[Argument] = [
            ("pointer", self.header.address),
            ("pointer", self.records.address),
            ("pointer", outputs.head),
            ("int", first * second),
            ("int", (4 + len(spec.names)) * second if raw else 6),
            ("int", second if raw else 1),
            ("int", 1 if raw else second),
            ("int", coefficients),
            ("pointer", outputs.prototypes),
            ("int", width),
            ("int", height),
            ("pointer", columns.address),
            ("pointer", rows.address),
            ("int", tables.unit_rows),
            ("pointer", results.drawn.address),
            ("pointer", results.place.address),
            ("int", results.words),
            ("pointer", results.header.address),
        ]
        return self._device.launch(
            "masks",
            "draw_masks",
            grid=(self._device.info.multiprocessors * _MASK_BLOCKS, 1, 1),
            block=(THREADS, 1, 1),
            arguments=arguments,
            defines=self._mask_defines(),
            shared=tables.shared,
        )


@dataclass(frozen=True)
class DecodeWork:
    """Decoding of one pass into one set of results; started as often as wanted.

    Attributes:
        state: Zero before the search begins; drawing clears it again.
        search: Finds detections, for each part of the images.
        draw: Lists all that were found, and draws their masks.
    """

    state: Buffer
    search: tuple[tuple[Launch, ...], ...]
    draw: tuple[Launch, ...]

    def find(self, part: int, stream: Stream) -> None:
        """Start the search in one part of the images, behind their inference."""
        for launch in self.search[part]:
            launch(stream)

    def finish(self, stream: Stream) -> None:
        """Start what comes behind the search in all parts."""
        for launch in self.draw:
            launch(stream)

    def enqueue(self, stream: Stream) -> None:
        """Start all of it in a stream."""
        for part in range(len(self.search)):
            self.find(part, stream)
        self.finish(stream)
