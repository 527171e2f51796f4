"""The command line: one file per verb."""

import gc

# Imports make objects that stay: looking through them for garbage, at Python's threshold of 700, took a sixth
# of a short command's time.
gc.set_threshold(50_000)
