"""Annotated sets of images in the formats that people have, read into one form.

A new format is a module here that returns an :class:`~yolotrt.data.formats.annotated.AnnotatedSet`, and one
line in :mod:`yolotrt.data.formats.reader`.
"""
