"""One frame in, detections and a trace out."""
