"""The steps of a fused network, each one kernel, and the network as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from yolotrt.backends.fused.convolutions import Conv as Conv
from yolotrt.backends.fused.convolutions import Depthwise as Depthwise
from yolotrt.backends.fused.convolutions import Grow as Grow
from yolotrt.backends.fused.convolutions import Stem as Stem
from yolotrt.backends.fused.convolutions import Step as Step
from yolotrt.backends.fused.parts import Map, Slice, Taps


@dataclass(kw_only=True)
class Pools(Step):
    """One to three max poolings of stride 1, each of the one before.

    Attributes:
        source: What the first reads.
        height: Of all of them.
        width: Of all of them.
        kernel: Of each, odd; the padding keeps the size.
        stores: Where each result goes.
        scratch: (height, width, 3 x channels) for what is pooled along rows only.
    """

    source: Slice
    height: int
    width: int
    kernel: int
    stores: tuple[Slice, ...]
    scratch: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (*(s.map for s in self.stores), self.scratch.map)


@dataclass(kw_only=True)
class Attention(Step):
    """Softmax attention between the pixels of an area, plus a depthwise convolution of the values.

    Each head's channels lie together: its queries, its keys, its values.

    Attributes:
        source: (heads x (2 key channels + value channels)) channels.
        height: Pixels.
        width: Pixels.
        heads: Number of heads.
        key: Channels of a query and of a key.
        value: Channels of a value.
        areas: The rows of pixels are cut into this many areas, which do not see each other.
        scale: Of the products of queries and keys.
        taps: The depthwise convolution, over the whole map; its channels are the heads' values.
        store: Where the result goes: heads x value channels.
    """

    source: Slice
    height: int
    width: int
    heads: int
    key: int
    value: int
    areas: int
    scale: float
    taps: Taps
    store: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.source.map,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store.map,)


@dataclass(kw_only=True)
class Sum(Step):
    """Up to three maps added, each perhaps enlarged; a single one is copied.

    Attributes:
        sources: What is added.
        height: Of the result.
        width: Of the result.
        store: Where it goes.
    """

    sources: tuple[Slice, ...]
    height: int
    width: int
    store: Slice

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return tuple(s.map for s in self.sources)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store.map,)


@dataclass(kw_only=True)
class Best(Step):
    """The highest class score of each row of detections.

    Attributes:
        rows: Map of the rows' planes.
        store: Map of (rows,) FP32.
        count: Number of rows.
        first: Plane of the first class.
        classes: Number of classes.
    """

    rows: int
    store: int
    count: int
    first: int
    classes: int

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.rows,)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.store,)


@dataclass(kw_only=True)
class Select(Step):
    """The detections of an end-to-end network: the best rows, then the best pairs of row and class.

    Attributes:
        rows: Map of the rows' planes: 4 sides, class scores, coefficients.
        best: Map that :class:`Best` wrote.
        count: Number of rows.
        classes: Number of classes.
        coeffs: Number of coefficients.
        keep: Detections to write to the head, by falling score.
        scratch: Map of (3 x the next power of two of ``keep``,) integers.
    """

    rows: int
    best: int
    scratch: int
    count: int
    classes: int
    coeffs: int
    keep: int

    def reads(self) -> tuple[int, ...]:
        """Maps that it reads."""
        return (self.rows, self.best)

    def writes(self) -> tuple[int, ...]:
        """Maps that it writes."""
        return (self.scratch,)


@dataclass
class Network:
    """A network as fused steps.

    Attributes:
        maps: All feature maps.
        steps: In an order in which they can run.
        input_name: Of the (batch, 3, height, width) input.
        input_hw: Its height and width.
        head: Name and shape of the detection head for one image.
        protos: Name and shape of the prototypes for one image.
        offsets: Where each map begins in the arena for one image, bytes; filled by :func:`.arena.place`.
        arena_nbytes: Size of the arena for one image; likewise.
        rounded: It holds INT8, whose noise allows for activations that are a little off.
        ahead: Steps that can run for some images before the others are there: they share no memory.
    """

    maps: list[Map]
    steps: list[Step]
    input_name: str
    input_hw: tuple[int, int]
    head: tuple[str, tuple[int, ...]]
    protos: tuple[str, tuple[int, ...]]
    offsets: list[int] = field(default_factory=list)
    arena_nbytes: int = 0
    rounded: bool = False
    ahead: int = 0
