"""Box and mask mAP, and comparisons built on it."""
