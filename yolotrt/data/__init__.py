"""Images, scenes and datasets."""
