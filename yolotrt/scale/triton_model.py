"""A frame through a network that a server runs: what the Python model of a repository does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from yolotrt.arrays import F32
from yolotrt.backends.sidecar import read_sidecar
from yolotrt.geometry.rle import coco_rle
from yolotrt.pipeline.frames import FrameResult
from yolotrt.pipeline.settings import PipelineSettings
from yolotrt.pipeline.tiled import TiledPipeline
from yolotrt.scale.called import CalledEngine

TensorValue = npt.NDArray[Any]
Network = Callable[[str, str, TensorValue, list[str]], list[TensorValue]]
"""Runs a model of the server: its name, its input and that one's value, and the outputs that are wanted."""

ENGINE = "engine"
"""The engine's sidecar lies beside the model as ``engine.json``."""


class FrameModel:
    """Cuts frames, lets a server run the network on the tiles, decodes and merges.

    Args:
        folder: Holds ``engine.json``.
        config: Configuration of the model as JSON, as Triton hands it over.
        network: Runs the network.

    Raises:
        ArtifactError: The engine's description is damaged.
    """

    def __init__(self, folder: Path, config: str, network: Network) -> None:
        given = {key: value["string_value"] for key, value in json.loads(config)["parameters"].items()}
        file = read_sidecar(folder / ENGINE)
        spec, model = file.spec, given["network"]
        dtype = np.float16 if given["input_type"] == "TYPE_FP16" else np.float32

        def call(images: F32) -> tuple[F32, F32]:
            wanted = [spec.head_output, spec.proto_output]
            head, prototypes = network(model, spec.input_name, images.astype(dtype, copy=False), wanted)
            return np.asarray(head, np.float32), np.asarray(prototypes, np.float32)

        settings = msgspec.json.decode(given["settings"], type=PipelineSettings)
        self._pipeline = TiledPipeline(CalledEngine(file, call), settings)

    def __call__(self, frame: TensorValue) -> dict[str, TensorValue]:
        """Return the objects of a frame as tensors.

        Args:
            frame: (h, w, 3) uint8, BGR.

        Returns:
            ``BOXES`` (n, 4) float32 xyxy in px of the frame, ``SCORES`` (n,) float32, ``CLASSES`` (n,) int64,
            ``MASKS`` (n,) bytes: run lengths as COCO has them (``counts``; their size is that of the frame).

        Raises:
            ImageError: It is no frame.
            ExecutionError: The network failed.
        """
        return tensors(self._pipeline(frame))

    def close(self) -> None:
        """Free what was made for the frames."""
        self._pipeline.close()


def tensors(result: FrameResult) -> dict[str, TensorValue]:
    """Return what was found as arrays by the names of the model's outputs."""
    found = result.detections
    masks = [coco_rle(mask, result.frame_wh)["counts"] for mask in found.masks or ()]
    return {
        "BOXES": np.ascontiguousarray(found.boxes, np.float32).reshape(-1, 4),
        "SCORES": np.ascontiguousarray(found.scores, np.float32),
        "CLASSES": np.ascontiguousarray(found.classes, np.int64),
        "MASKS": np.array(masks, np.object_),
    }
