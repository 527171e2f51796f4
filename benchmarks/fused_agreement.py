"""How far an executor's outputs are from those of a network on the CPU."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from yolotrt.model.spec import ModelSpec


def on_cpu(network: onnx.ModelProto, spec: ModelSpec, images: np.ndarray) -> list[np.ndarray]:
    """Return head and prototypes of (batch, 3, height, width) images, as ONNX Runtime computes them."""
    session = ort.InferenceSession(network.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [spec.head_output, spec.proto_output]
    found: list[np.ndarray] = session.run(names, {spec.input_name: images.astype(np.float32)})
    return found


def agreement(given: list[np.ndarray], wanted: list[np.ndarray], head: str) -> dict[str, float]:
    """Return the largest differences to FP32 on the CPU: boxes in px, scores, prototypes, coefficients."""
    rows, protos = (
        given[0][: len(wanted[0])].astype(np.float64),
        given[1][: len(wanted[1])].astype(np.float64),
    )
    found = {
        "finite": float(np.isfinite(given[0]).all() and np.isfinite(given[1]).all()),
        "protos_max": float(np.abs(protos - wanted[1]).max()),
        "protos_relative": float(np.linalg.norm(protos - wanted[1]) / np.linalg.norm(wanted[1])),
    }
    if head == "raw":
        difference = np.abs(rows - wanted[0])
        coeffs = wanted[1].shape[1]
        found |= {
            "boxes_px_max": float(difference[:, :4].max()),
            "scores_max": float(difference[:, 4:-coeffs].max()),
        }
    else:  # rounding changes the order of detections that score alike
        found["scores_max"] = float(np.abs(rows[..., 4] - wanted[0][..., 4]).max())
    return found
