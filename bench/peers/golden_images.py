#!/usr/bin/env python3
"""Small image files and the pixels that PIL (libjpeg-turbo) decodes from them: crates/data/tests/golden/.

    .venv-peers/bin/python bench/peers/golden_images.py

NAME.JPEG is the file, whatever it is; NAME.png its pixels. PIL writes only some kinds of JPEGs; the others
are made of its files by changing their headers, so that some show a scramble. What counts is that
libjpeg-turbo decodes them.
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


def segments(content):
    """(marker, first byte, end) of each segment, and where the entropy-coded data of each scan begins."""
    at, scans = 2, []
    found = []
    while True:
        marker = content[at + 1]
        if marker == 0xD9:
            return found, scans
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        found.append((marker, at, end))
        at = end
        if marker == 0xDA:
            scans.append(end)
            while content[at] != 0xFF or content[at + 1] == 0 or 0xD0 <= content[at + 1] <= 0xD7:
                at += 1


def frame(content):
    """Where the content of the frame header begins."""
    return next(at + 4 for marker, at, _ in segments(content)[0] if marker in (0xC0, 0xC1, 0xC2))


def sampled(content, factors, size=None):
    """Other sampling factors of the first component, and another size with as many MCUs."""
    content, at = bytearray(content), frame(content)
    content[at + 7] = factors
    if size:
        content[at + 1 : at + 5] = size[1].to_bytes(2, "big") + size[0].to_bytes(2, "big")
    return bytes(content)


def adobe(content, transform):
    """Another transform in Adobe's segment; None: without the segment."""
    _, at, end = next(s for s in segments(content)[0] if s[0] == 0xEE)
    if transform is None:
        return content[:at] + content[end:]
    return content[: at + 15] + bytes([transform]) + content[at + 16 :]


def one_after_the_other(planes, factors):
    """A sequential JPEG in which each component has a scan of its own, from the images of its components."""
    files = [jpeg(plane, quality=85) for plane in planes]
    first = files[0]
    tables = [first[at:end] for marker, at, end in segments(first)[0] if marker in (0xDB, 0xC4)]
    width, height = planes[0].size
    header = bytes([8]) + height.to_bytes(2, "big") + width.to_bytes(2, "big") + bytes([len(planes)])
    header += b"".join(bytes([i + 1, factor, 0]) for i, factor in enumerate(factors))
    out = b"\xff\xd8" + b"".join(tables)
    out += b"\xff\xc0" + (len(header) + 2).to_bytes(2, "big") + header
    for i, content in enumerate(files):
        data = content[segments(content)[1][0] : -2]
        out += b"\xff\xda\0\x08\x01" + bytes([i + 1, 0, 0, 63, 0]) + data
    return out + b"\xff\xd9"


def main():
    OUT.mkdir(exist_ok=True)
    image = picture(83, 61)
    png = io.BytesIO()
    image.save(png, "PNG")
    broken_exif = bytearray(jpeg(image, quality=90, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0"))
    broken_exif[30:36] = b"\xee" * 6
    half_width, half = jpeg(image, quality=85, subsampling=1), jpeg(image, quality=85, subsampling=2)
    luma, blue, red = image.convert("YCbCr").split()
    # Black of its own: PIL's conversion makes none.
    cmyk = Image.merge("CMYK", [*image.convert("CMYK").split()[:3], picture(61, 83).transpose(Image.Transpose.ROTATE_90).getchannel(0)])
    noise = Image.fromarray(numpy.random.default_rng(1).integers(0, 256, (40, 41, 3), dtype="uint8"))
    files = {
        "full-95": jpeg(image, quality=95, subsampling=0),
        "full-30": jpeg(image, quality=30, subsampling=0, optimize=True),
        "half-width": half_width,
        "half": half,
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
        "half-height": sampled(half_width, 0x12, (61, 83)),
        "quarter-width": sampled(half, 0x41),
        "quarter-height": sampled(half, 0x14, (61, 83)),
        "scans-full": one_after_the_other(image.convert("YCbCr").split(), [0x11, 0x11, 0x11]),
        "scans-half": one_after_the_other([luma, blue.reduce(2), red.reduce(2)], [0x22, 0x11, 0x11]),
        "progressive-grey": jpeg(image.convert("L"), quality=90, progressive=True),
        "progressive-half-width": jpeg(image, quality=30, subsampling=1, progressive=True),
        "progressive-half-height": sampled(jpeg(picture(64, 48), subsampling=1, progressive=True), 0x12, (48, 64)),
        "progressive-restarts": jpeg(image, subsampling=2, progressive=True, restart_marker_blocks=4),
        "progressive-noise": jpeg(noise, quality=97, subsampling=2, progressive=True),
        "progressive-cmyk": jpeg(cmyk, quality=80, subsampling=2, progressive=True),
        "cmyk-half": jpeg(cmyk, quality=80, subsampling=2),
        "cmyk-without-adobe": adobe(jpeg(cmyk, quality=80), None),
        "ycck": adobe(jpeg(cmyk, quality=90), 2),
        "progressive-ycck-half": adobe(jpeg(cmyk, quality=80, subsampling=2, progressive=True), 2),
    }
    for name, content in files.items():
        (OUT / f"{name}.JPEG").write_bytes(content)
        pixels = Image.open(io.BytesIO(content)).convert("RGB")
        pixels.save(OUT / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
