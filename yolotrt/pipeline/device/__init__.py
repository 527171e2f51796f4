"""A frame on GPUs: uploaded, prepared, run, decoded and merged there."""
