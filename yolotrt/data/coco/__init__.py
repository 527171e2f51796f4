"""Exactly the COCO images needed: chosen, fetched, verified, resumable."""
