"""Annotated sets of images in the formats that people have, read into one form.

A new format is a module here with a :class:`~yolotrt.data.formats.annotated.Format`, and one line in
:mod:`yolotrt.data.formats.names`.
"""
