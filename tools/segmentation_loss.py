"""Ultralytics' segmentation loss, made affordable for frames with a hundred small objects."""

from __future__ import annotations

import torch
from torch.nn import functional
from ultralytics.utils.loss import v8SegmentationLoss

SAMPLES = 128
"""Positive anchors of an image whose masks enter the loss."""


class SampledSegmentationLoss(v8SegmentationLoss):  # type: ignore[misc]
    """The loss of YOLO26-seg with two savings.

    Anchors are assigned by boxes alone: the mask-aware assigner draws a mask for each of thirty candidates
    per object. And the mask loss of an image is the mean over at most 128 of its positive anchors, drawn
    at random, for the whole batch at once; the original goes through the images one by one.
    """

    def calculate_segmentation_loss(
        self,
        fg_mask: torch.Tensor,
        masks: torch.Tensor,
        target_gt_idx: torch.Tensor,
        target_bboxes: torch.Tensor,
        batch_idx: torch.Tensor,
        proto: torch.Tensor,
        pred_masks: torch.Tensor,
        imgsz: torch.Tensor,
    ) -> torch.Tensor:
        """Return the mean over objects of the cross entropy inside their boxes.

        Args:
            fg_mask: (b, anchors) bool, positive anchors.
            masks: (b, h, w), 1 + number of the object on top, 0 for none.
            target_gt_idx: (b, anchors) int64, number of each anchor's object.
            target_bboxes: (b, anchors, 4) xyxy px of the network's input.
            batch_idx: Unused; the interface has it.
            proto: (b, coefficients, h, w).
            pred_masks: (b, anchors, coefficients).
            imgsz: (2,) height and width of the network's input, px.
        """
        height, width = proto.shape[2:]
        chance, anchor = (fg_mask * (1 + torch.rand_like(pred_masks[..., 0]))).topk(SAMPLES, dim=1)
        valid = chance > 0
        coefficients = pred_masks.gather(1, anchor[..., None].expand(-1, -1, pred_masks.shape[2]))
        logits = torch.bmm(coefficients, proto.flatten(2)).unflatten(2, (height, width))
        number = target_gt_idx.gather(1, anchor) + 1
        truth = masks[:, None] == number[..., None, None]
        to_cells = torch.tensor([width, height, width, height], device=proto.device) / imgsz[[1, 0, 1, 0]]
        boxes = target_bboxes.gather(1, anchor[..., None].expand(-1, -1, 4)) * to_cells
        left, top, right, bottom = boxes[..., None].unbind(2)
        x = torch.arange(width, device=proto.device)
        y = torch.arange(height, device=proto.device)
        inside = ((y >= top) & (y < bottom))[..., :, None] & ((x >= left) & (x < right))[..., None, :]
        entropy = functional.binary_cross_entropy_with_logits(logits, truth.float(), reduction="none")
        area = ((right - left) * (bottom - top))[..., 0].clamp(min=1e-6)
        per_object = (entropy * inside).sum((2, 3)) / area
        mean: torch.Tensor = per_object.where(valid, 0).sum() / valid.sum()
        return mean
