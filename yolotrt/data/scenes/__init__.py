"""Synthetic 4K scenes with instance masks."""
