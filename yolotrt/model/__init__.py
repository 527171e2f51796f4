"""Weights to ONNX, what an ONNX model is, and its precision."""
