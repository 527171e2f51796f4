"""yolotrt: fast YOLO segmentation on NVIDIA GPUs, measured honestly."""

__version__ = "0.1.0"
