"""Pictures for the tests, as publishers' servers hand them out."""

from __future__ import annotations

import io
from random import Random
from typing import Any

from PIL import Image


def picture(kind: str = "JPEG", size: tuple[int, int] = (800, 450), **how: Any) -> bytes:
    """Return a photograph, more or less: its left half is reddish, its right half bluish."""
    return encoded(photograph(size), kind, **how)


def photograph(size: tuple[int, int]) -> Image.Image:
    """Return the same noise each time, coarse enough to be compressed."""
    coarse = size[0] // 8 + 1, size[1] // 8 + 1
    noise = Image.frombytes("L", coarse, Random(7).randbytes(coarse[0] * coarse[1]))
    grey = noise.resize(size, Image.Resampling.BICUBIC)
    green = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    tint = Image.new("RGB", size, (40, 60, 200))
    tint.paste((200, 60, 40), (0, 0, size[0] // 2, size[1]))
    return Image.blend(tint, Image.merge("RGB", (grey, green, grey)), 0.3)


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    """Return the file's bytes."""
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()
