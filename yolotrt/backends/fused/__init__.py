"""An engine of our own for YOLO-seg: kernels fused from layer to layer, run by an NVIDIA driver alone.

``plan*`` turns an ONNX network into fused steps, ``kernels`` computes them, ``launches`` says how each kernel
is started for a step, ``compile`` makes machine code of that ahead of time, ``file`` holds an engine and
``runtime`` runs it. Only the compiler needs Triton, and only a build needs the compiler.
"""
