"""Verified, resumable transfers: HTTP with ranges and retries, archives read in parts, JPEG integrity."""
