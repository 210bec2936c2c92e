"""Small pictures to train on."""

import random
import struct
import zlib
from pathlib import Path


def write_pictures(folder: Path, classes: int, images: int, side: int) -> None:
    """Writes PNGs of ``side`` x ``side`` pixels, a folder for each class; those of a class have nearly one colour."""
    stream = random.Random(1)
    for name in range(classes):
        colour = [stream.randrange(40, 216) for _ in range(3)]
        (folder / f"class{name}").mkdir(parents=True)
        for image in range(images):
            pixels = bytes(c + stream.randrange(-40, 40) for _ in range(side * side) for c in colour)
            (folder / f"class{name}/{image}.png").write_bytes(png(pixels, side))


def png(pixels: bytes, side: int) -> bytes:
    """A PNG of square RGB pixels, row by row."""
    rows = b"".join(b"\0" + pixels[row * side * 3 : (row + 1) * side * 3] for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
