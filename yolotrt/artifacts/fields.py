"""Types of fields in documents, with the bounds that are checked on reading and that schemas say."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, le=1e9)]
"""A length of time."""

Moment = Annotated[float, Meta(ge=-1e9, le=1e9)]
"""A time before or after another one, seconds."""

Count = Annotated[int, Meta(ge=0)]
"""How many there are; 0 is possible."""

Some = Annotated[int, Meta(ge=1, le=1_000_000)]
"""How many there are, at least one."""

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
"""A hash of 64 hex digits."""

Share = Annotated[float, Meta(ge=0, le=1)]
"""A part of the whole."""

Load = Annotated[float, Meta(ge=0)]
"""How many processes wanted to run, on average."""

Few = Annotated[int, Meta(ge=1, lt=1 << 20)]
"""Channels, pictures of a batch, pixels of a stride."""

Real = Annotated[float, Meta(ge=-3.4e38, le=3.4e38)]
"""What 32 bits hold."""
