"""Which backends there are; imports nothing, so that ``--help`` can name them."""

CLASSES = {
    "tensorrt": "yolotrt.backends.tensorrt.backend:tensorrt",
    "tensorrt-rtx": "yolotrt.backends.tensorrt.backend:tensorrt_rtx",
    "fused": "yolotrt.backends.fused.backend:FusedBackend",
    "onnxruntime": "yolotrt.backends.onnxruntime.backend:OnnxRuntimeBackend",
}
"""What makes each backend, in order of preference. A new backend is one line here, and its own package."""

NAMES = CLASSES.keys()

EMBEDDED = "onnxruntime"
"""The backend that works on any machine: every command can fall back on it."""
