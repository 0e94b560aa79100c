#!/usr/bin/env python3
"""Small image files and the pixels that PIL (libjpeg-turbo) decodes from them: crates/data/tests/golden/.

    .venv-peers/bin/python bench/peers/golden_images.py

NAME.JPEG is the file, whatever it is; NAME.png its pixels.
"""

import io
import pathlib

import numpy
from PIL import Image

OUT = pathlib.Path(__file__).resolve().parents[2] / "crates" / "data" / "tests" / "golden"


def picture(width, height):
    """Smooth colours, an edge and a little noise, from a formula."""
    y, x = numpy.mgrid[0:height, 0:width].astype(float)
    channels = [128 + 120 * numpy.sin(x / (5 + c) + c) * numpy.cos(y / (7 - c)) for c in range(3)]
    image = numpy.stack(channels, axis=-1)
    image[:, width // 2 :] = 255 - image[:, width // 2 :]
    image += ((x * 7919 + y * 104729) % 17 - 8)[..., None]
    return Image.fromarray(image.clip(0, 255).astype("uint8"))


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def main():
    OUT.mkdir(exist_ok=True)
    image = picture(83, 61)
    png = io.BytesIO()
    image.save(png, "PNG")
    broken_exif = bytearray(jpeg(image, quality=90, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0"))
    broken_exif[30:36] = b"\xee" * 6
    files = {
        "full-95": jpeg(image, quality=95, subsampling=0),
        "full-30": jpeg(image, quality=30, subsampling=0, optimize=True),
        "half-width": jpeg(image, quality=85, subsampling=1),
        "half": jpeg(image, quality=85, subsampling=2),
        "half-even": jpeg(picture(64, 48), quality=75, subsampling=2),
        "half-narrow": jpeg(picture(3, 40), quality=90, subsampling=2),
        "half-width-narrow": jpeg(picture(4, 9), quality=90, subsampling=1),
        "restarts": jpeg(image, quality=90, subsampling=2, restart_marker_blocks=3),
        "grey": jpeg(image.convert("L"), quality=90),
        "rgb": jpeg(image, quality=90, keep_rgb=True),
        "progressive": jpeg(image, quality=85, subsampling=2, progressive=True),
        "progressive-full": jpeg(image, quality=95, subsampling=0, progressive=True),
        "cmyk": jpeg(image.convert("CMYK"), quality=90),
        "png": png.getvalue(),
        "broken-exif": bytes(broken_exif),
        "one-pixel": jpeg(picture(1, 1), quality=90),
    }
    for name, content in files.items():
        (OUT / f"{name}.JPEG").write_bytes(content)
        pixels = Image.open(io.BytesIO(content)).convert("RGB")
        pixels.save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
