"""Benchmarks behind the README's figures; `make bench` runs them all on this machine."""
