"""What Lossmith makes of an image before its network sees it, in evaluation.

A run's `manifest.json` has the numbers under `preprocessing`:

    size           height and width of the network's input
    channels       3 for red, green and blue, 1 for grey
    crop           `largest-centre-square`: the shorter side is kept whole; the edges may lie inside pixels
    interpolation  `bilinear`, a triangle that widens with the factor when an image is made smaller (`antialias`)
    mean, std      of each channel, on the scale of 0 (black) to 1 (white)

An image is turned as its EXIF orientation says, and what is transparent is laid on white. Where a list cuts an area out of an
image (`x_1` and so on), crop to that area first. Nothing is rounded to 8 bits on the way. torchvision's `Resize(size, antialias=True)` and `CenterCrop(size)` round the place of
the crop, and the pixels if they are given an image; they come near, not equal.
"""

import numpy
from PIL import Image, ImageOps


def weights(start, length, pixels, size):
    """How much each of `pixels` pixels along one side counts for each of `size` places that lie over `length` pixels from
    `start` on: a matrix of size x pixels, whose rows sum to 1."""
    scale = length / size
    radius = max(scale, 1.0)
    middles = start + (numpy.arange(size) + 0.5) * scale - 0.5
    triangle = 1.0 - numpy.abs(numpy.arange(pixels) - middles[:, None]) / radius
    triangle = numpy.maximum(triangle, 0.0)
    return triangle / triangle.sum(axis=1, keepdims=True)


def upright_on_white(image, channels):
    """As Lossmith opens an image: turned as its EXIF orientation says, what is transparent laid on white."""
    image = ImageOps.exif_transpose(image)
    if channels == 1:
        return image.convert("L")
    if not (image.has_transparency_data if hasattr(image, "has_transparency_data") else "A" in image.getbands()):
        return image.convert("RGB")
    pixels = numpy.asarray(image.convert("RGBA"), dtype=numpy.uint32)
    colours, alpha = pixels[..., :3], pixels[..., 3:]
    return Image.fromarray(((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(numpy.uint8))


def preprocess(image, preprocessing):
    """An image of Pillow as the network's input: C x size x size, 32-bit."""
    assert preprocessing["crop"] == "largest-centre-square" and preprocessing["interpolation"] == "bilinear"
    assert preprocessing["antialias"]
    image = upright_on_white(image, preprocessing["channels"])
    pixels = numpy.asarray(image, dtype=numpy.float64) / 255.0
    pixels = pixels.reshape(image.height, image.width, preprocessing["channels"])
    side, size = min(image.size), preprocessing["size"]
    rows = weights((image.height - side) / 2, side, image.height, size)
    columns = weights((image.width - side) / 2, side, image.width, size)
    resized = numpy.einsum("yh,hwc,xw->cyx", rows, pixels, columns, optimize=True)
    mean, std = (numpy.array(preprocessing[name])[:, None, None] for name in ("mean", "std"))
    return ((resized - mean) / std).astype(numpy.float32)


def open_image(path):
    return Image.open(path)
