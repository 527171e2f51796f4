"""Sweeps, statistics, environment and results."""
