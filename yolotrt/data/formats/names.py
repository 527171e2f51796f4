"""Which formats of annotations there are; imports nothing, so that ``--help`` can name them."""

FORMATS = {
    "yolotrt.data.formats.yolo:YOLO": "the data.yaml of YOLO-format labels",
    "yolotrt.data.formats.coco:COCO": "COCO instances JSON of --images",
}
"""What reads each format, and what ``--help`` calls it; the first that a path fits is taken.

A new format is its own module, and one line here above COCO's, which takes what is left.
"""
