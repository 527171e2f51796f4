"""Activation ranges, their cache, and Q/DQ insertion."""
