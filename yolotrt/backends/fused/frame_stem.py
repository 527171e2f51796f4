"""The first convolution once more, from a frame: for tiles, and for the frame letterboxed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yolotrt.arrays import I32, U8
from yolotrt.backends.fused.arguments import Address, Arg, Count, Given, Space, WeightsBlob
from yolotrt.backends.fused.steps import Network, Stem, Step
from yolotrt.data.colours import BT709, LEFT, Colours
from yolotrt.geometry.letterbox import PADDING

FrameKind = Literal["tiles", "letterbox", "tiles_yuv", "letterbox_yuv"]
FRAME_KINDS: tuple[FrameKind, ...] = ("tiles", "letterbox", "tiles_yuv", "letterbox_yuv")
"""How images lie in a frame of (height, width, 3) bytes, and in one as decoders give it (NV12 or P010)."""

KERNEL = 3
"""Size of the convolution that the kernels are written for: that of all YOLO networks from version 8 on."""


ALIGNED = 16
"""Bytes that kernels take the first image's maps to begin at multiples of; so must those of others."""

LEAST = 8
"""Maps of which an eighth of the input's size is a side are still large."""


@dataclass(kw_only=True)
class FrameStem(Stem):
    """The first convolution, which reads a frame.

    Attributes:
        kind: How its images lie in the frame.
    """

    kind: FrameKind


def frame_stems(network: Network) -> list[FrameStem]:
    """Return a network's first convolution as it reads a frame; nothing if no kernel computes that."""
    stems = [step for step in network.steps if type(step) is Stem]
    if len(stems) != 1 or stems[0].kernel != KERNEL or stems[0].channels != 3:
        return []
    given = {field.name: getattr(stems[0], field.name) for field in fields(Stem)}
    return [FrameStem(**given, kind=kind) for kind in FRAME_KINDS]


def steps_ahead(network: Network) -> int:
    """Return how many steps, from the first on, are worth running while images are still on their way.

    Those on large maps: a few images keep a GPU busy there. All of them have to be fed by the first one.
    """
    if not frame_stems(network) or type(network.steps[0]) is not Stem:
        return 0
    height, width = network.input_hw
    for i, step in enumerate(network.steps):
        maps = [network.maps[index] for index in step.writes()]
        large = all(m.height * LEAST >= height and m.width * LEAST >= width for m in maps)
        if not maps or not large or any(m.nbytes % ALIGNED for m in maps):
            return i
    return 0


def every_step(network: Network) -> list[Step]:
    """Return all steps of a network, and behind them those that replace one where frames are read."""
    return [*network.steps, *frame_stems(network)]


def frame_arguments(
    step: FrameStem, store: Address | None, pitch: int, act: int, weights: WeightsBlob
) -> tuple[str, dict[str, Arg], dict[str, Any]]:
    """Return the kernel of a step, its arguments, and what is known when it is compiled but its tile.

    Args:
        step: The step.
        store: Where its result goes.
        pitch: Values from one pixel of the result to the next.
        act: Number of its activation.
        weights: Filled with its constants.
    """
    width, height = step.out_wh
    yuv = step.kind.endswith("_yuv")
    args: dict[str, Arg] = {"frame": Address("frame", "u8", 0, 0), "width": Given("frame_width")}
    if yuv:
        args |= {"height": Given("frame_height"), "wide": Given("frame_wide")}
    if step.kind == "tiles":
        args |= {"height": Given("frame_height"), "swap": Given("frame_bgr")}
    elif step.kind == "letterbox":
        args["swap"] = Given("frame_bgr")
    elif step.kind == "tiles_yuv":
        args |= {"site_x": Given("site_x"), "site_y": Given("site_y")}
    if step.kind.startswith("tiles"):
        args["origins"] = Address("origins", "i32", 0, 0, 8)
    else:
        args |= {name: Address(name, "i32", 0, 0) for name in _TABLES}
        args |= {name: Address(name, "i32", 0, 0) for name in _CHROMA_TABLES if yuv}
    if yuv:
        args["colours"] = Address("colours", "fp32", 0, 0)
    args |= {
        "w": weights.add(step.dense.weight), "b": weights.add(step.dense.bias), "y": store,
        "rows": Count(width * height, 0),
    }  # fmt: skip
    constants = {
        "HEIGHT": height, "WIDTH": width, "IN_HEIGHT": step.height, "IN_WIDTH": step.width, "STEP_Y": pitch,
        "CHANNELS": step.channels, "N": step.dense.outputs, "KERNEL": step.kernel, "STRIDE": step.stride,
        "PAD": step.pad, "ACT": act, "PADDING": PADDING,
    }  # fmt: skip
    return f"stem_{step.kind}", args, constants


_TABLES: tuple[Space, ...] = ("across", "down")
_CHROMA_TABLES: tuple[Space, ...] = ("across_chroma", "down_chroma")


@dataclass(frozen=True)
class SampleFrame:
    """A frame of 3840 x 2160 to time kernels on, and where images lie in it.

    Attributes:
        pixels: (height, width, 3); random, since zeros would run faster than pictures do. What reads NV12
            takes the first half of it.
        origins: (batch, 2).
        across: (input width, 4).
        down: (input height, 4).
    """

    pixels: U8
    origins: I32
    across: I32
    down: I32

    @classmethod
    def of(cls, network: Network, batch: int) -> SampleFrame:
        """Return one for a network's input."""
        height, width = network.input_hw
        frame_h, frame_w = max(2160, height), max(3840, width)
        pixels = np.random.default_rng(0).integers(0, 256, (frame_h, frame_w, 3), np.uint8)
        corners = [
            (i * width * 4 // 5 % (frame_w - width + 1), i // 8 * height * 4 // 5 % (frame_h - height + 1))
            for i in range(batch)
        ]
        return cls(pixels, np.array(corners, np.int32), _spread(width, frame_w), _spread(height, frame_h))

    @property
    def given(self) -> dict[str, int]:
        """What kernels are told of it."""
        size = {"frame_width": self.pixels.shape[1], "frame_height": self.pixels.shape[0]}
        return size | {"frame_bgr": 1, "frame_wide": 0, "site_x": LEFT[0], "site_y": LEFT[1]}

    @property
    def memory(self) -> dict[Space, npt.NDArray[Any]]:
        """What lies in the memory that kernels read it from."""
        halved = {
            name: table // np.array([2, 2, 1, 1], np.int32)
            for name, table in (("across_chroma", self.across), ("down_chroma", self.down))
        }
        return {
            "frame": self.pixels, "origins": self.origins, "across": self.across, "down": self.down,
            "across_chroma": halved["across_chroma"], "down_chroma": halved["down_chroma"],
            "colours": Colours(BT709, full=False).table(),
        }  # fmt: skip


def _spread(count: int, pixels: int) -> I32:
    """Return neighbours at equal distances, as a letterbox has them."""
    first = np.arange(count) * (pixels - 1) // count
    weights = np.full(count, 1024)
    return np.stack([first, first + 1, weights, weights], axis=1).astype(np.int32)
