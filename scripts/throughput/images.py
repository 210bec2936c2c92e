"""Makes the photographs that `make throughput` loads: images.py FOLDER.

JPEG files of 500 x 375 pixels in folders of classes, the size and the weight (about 110 kB) of those of ImageNet. As
in photographs, amplitudes fall with the frequency: white noise would take more bytes, and flat colours far fewer. What
is there already is kept.
"""

import pathlib
import sys

import numpy
from PIL import Image

CLASSES, IMAGES = 48, 20
WIDTH, HEIGHT = 500, 375
QUALITY = 90
#: Standard deviation of the brightness, and of the colour beside it, of 0 to 255.
CONTRAST, COLOUR = 55, 20


def falling(random, power):
    """A plane of noise with deviation 1 whose amplitude is 1 / frequency^power."""
    rows, columns = numpy.fft.fftfreq(HEIGHT)[:, None], numpy.fft.rfftfreq(WIDTH)[None, :]
    frequency = numpy.hypot(rows, columns)
    frequency[0, 0] = 1
    spectrum = numpy.fft.rfft2(random.standard_normal((HEIGHT, WIDTH))) / frequency**power
    spectrum[0, 0] = 0
    plane = numpy.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    return plane / plane.std()


def photograph(random, tint):
    """Light that all channels share, and colour around that of the class."""
    light = CONTRAST * falling(random, 1.0)
    channels = [light + COLOUR * falling(random, 1.5) + shift for shift in tint]
    return Image.fromarray(numpy.stack(channels, 2).clip(0, 255).astype(numpy.uint8))


def main(folder):
    for number in range(CLASSES):
        place = folder / f"class-{number:02}"
        place.mkdir(parents=True, exist_ok=True)
        tint = numpy.random.default_rng(number).uniform(80, 170, 3)
        for image in range(IMAGES):
            path = place / f"{image:02}.jpg"
            if not path.exists():
                drawn = photograph(numpy.random.default_rng([number, image]), tint)
                # Renamed when it is whole, so that what was interrupted is made again.
                drawn.save(path.with_suffix(".part"), "JPEG", quality=QUALITY, subsampling="4:2:0")
                path.with_suffix(".part").rename(path)


if len(sys.argv) != 2:
    sys.exit("usage: images.py FOLDER")
main(pathlib.Path(sys.argv[1]))
