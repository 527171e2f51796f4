"""TensorRT 10 and 11 and TensorRT-RTX, through one code path.

Their differences are found by looking for a class or a flag, never by comparing versions. Importing
this package imports none of them.
"""
