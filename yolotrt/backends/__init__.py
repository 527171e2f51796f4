"""Build an engine from ONNX, load it, run it."""
