"""ONNX Runtime: the embedded backend, on any processor and, with its CUDA provider, on NVIDIA GPUs."""
