"""Boxes, letterbox, tile grid, masks and merging: pure functions on arrays, inputs never mutated."""
