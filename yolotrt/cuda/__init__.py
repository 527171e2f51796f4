"""CUDA behind a seam of two dozen operations, and the kernels that run on it."""
