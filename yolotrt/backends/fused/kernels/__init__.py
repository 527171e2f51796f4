"""The kernels, in Triton's language. Compiled ahead of time; nothing here is imported to run an engine.

All read and write feature maps of (batch, height, width, channels) FP16 or INT8, sum up in FP32 or INT32 and
compute the rest in FP32. ``rows`` are the
pixels of all images, one after the other; a program works on ``BM`` of them, taken in a row or as a patch of
``TW`` pixels width (whose neighbours then lie in the cache). Names in capitals are known when compiled:
``STEP`` is the number of values from one pixel of a map to the next.

Activations: 0 none, 1 SiLU, 2 sigmoid, 3 SiLU for results that are rounded to INT8.
"""

from yolotrt.backends.fused.kernels.attention import attention as attention
from yolotrt.backends.fused.kernels.channels import depthwise as depthwise
from yolotrt.backends.fused.kernels.channels import pools as pools
from yolotrt.backends.fused.kernels.channels import total as total
from yolotrt.backends.fused.kernels.convolution import conv as conv
from yolotrt.backends.fused.kernels.frame import stem_letterbox as stem_letterbox
from yolotrt.backends.fused.kernels.frame import stem_tiles as stem_tiles
from yolotrt.backends.fused.kernels.frame_yuv import stem_letterbox_yuv as stem_letterbox_yuv
from yolotrt.backends.fused.kernels.frame_yuv import stem_tiles_yuv as stem_tiles_yuv
from yolotrt.backends.fused.kernels.grow import grow as grow
from yolotrt.backends.fused.kernels.select import best as best
from yolotrt.backends.fused.kernels.select import select as select
from yolotrt.backends.fused.kernels.stem import stem as stem
