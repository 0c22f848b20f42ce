"""Images of strangers, made into what a mail may show: a small JPEG or PNG that tells nothing else.

Formats that old mail programs do not know, animation, colour profiles, and everything that a camera
wrote into the file (place, time, owner) end here.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from mailer.domain.errors import Refusal

WIDEST, HIGHEST = 1_200, 2_400
"""Pixels: twice as wide as a mail, for fine screens; none of a story is higher than that."""

_NARROWEST = 32
_MOST_PIXELS = 50_000_000
_MOST_WORK = 1_000_000_000
"""Pixels times scans: a JPEG may be painted over as often as it likes, for a few octets each time.
So many take three seconds; a camera's take ten scans at most."""

_SCAN = b"\xff\xda"
_TARGET = 200_000
_QUALITIES = (80, 65, 50)
_SMALLER_WIDTHS = (900, 600)
_FEW_COLOURS = 4_096
"""Up to so many it is a drawing or a chart, whose lines JPEG would smear."""

_TAKEN = ("JPEG", "PNG", "GIF", "WEBP")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)

# Pillow asks this of every file before it unpacks anything, and only warns of the first half.
Image.MAX_IMAGE_PIXELS = _MOST_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)


class NoImage(Refusal):
    """The bytes are no image that a mail may show; the message is half a sentence that says why."""


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image as mails show it: `media_type` is image/jpeg or image/png; pixels."""

    body: bytes
    media_type: str
    width: int
    height: int

    @property
    def sha256(self) -> str:
        """What names it: the hash of its own bytes, in hexadecimal."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def file(self) -> str:
        """The name of its file: the hash, and `jpg` or `png`."""
        return f"{self.sha256}.{'png' if self.media_type == 'image/png' else 'jpg'}"


def ready_image(body: bytes) -> ReadyImage:
    """Return the image as mails show it: upright, RGB, at most WIDEST × HIGHEST, never larger.

    Of a moving one the first picture. The same bytes give the same image. Raises NoImage.
    """
    try:
        with Image.open(io.BytesIO(body), formats=_TAKEN) as opened:
            width, height = opened.size
            if min(width, height) < _NARROWEST:
                raise NoImage(f"it has only {width} × {height} pixels")
            scans = body.count(_SCAN) if opened.format in ("JPEG", "MPO") else 1
            if width * height * scans > _MOST_WORK:
                raise NoImage("it would take too long to unpack")
            return _encoded(*_decoded(opened))
    except NoImage:
        raise
    except UnidentifiedImageError:
        raise NoImage("it is no JPEG, PNG, GIF or WebP") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NoImage(f"it has more than {_MOST_PIXELS // 1_000_000} million pixels") from None
    except Exception as error:  # decoders fail on hostile bytes in ways of their own
        raise NoImage(f"it is damaged ({type(error).__name__})") from error


def _decoded(opened: Image.Image) -> tuple[Image.Image, bool]:
    """Return the picture, upright and in sRGB, and whether it is a drawing."""
    lossless = opened.format in ("PNG", "GIF")
    turned = opened.getexif().get(_ORIENTATION) in _TURNED
    across = opened.height if turned else opened.width
    if across > 2 * WIDEST:  # JPEG can be unpacked at an eighth of its size, at a tenth of the cost
        factor = 2 * WIDEST / across
        opened.draft(None, (int(opened.width * factor), int(opened.height * factor)))
    opened.load()
    plain = _in_srgb(ImageOps.exif_transpose(opened), opened.info.get("icc_profile"))
    drawn = lossless and plain.getcolors(_FEW_COLOURS) is not None
    if plain.width > WIDEST or plain.height > HIGHEST:
        factor = min(WIDEST / plain.width, HIGHEST / plain.height)
        plain = _resized(plain, factor)
    return plain, drawn


def _in_srgb(picture: Image.Image, profile: object) -> Image.Image:
    """Return the picture as RGB, or as RGBA where something shines through."""
    if picture.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        # Grey with 16 bits: Pillow would cut off what is above 255 instead of dividing.
        picture = picture.convert("F").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        lowest, _ = cast(tuple[int, int], picture.getchannel("A").getextrema())
        if lowest == 255:
            picture = picture.convert("RGB")
    elif picture.mode in ("1", "P", "PA", "LA", "YCbCr", "LAB", "HSV"):
        picture = picture.convert("RGB")
    if isinstance(profile, bytes) and picture.mode in ("RGB", "RGBA", "CMYK", "L"):
        picture = _recoloured(picture, profile)
    return picture if picture.mode in ("RGB", "RGBA") else picture.convert("RGB")


def _recoloured(picture: Image.Image, profile: bytes) -> Image.Image:
    """Return the picture with the colours that its profile means, or as it is."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(
            picture, source, ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # a profile of another kind of picture: its colours are as good as any
    return converted or picture


def _resized(picture: Image.Image, factor: float) -> Image.Image:
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _encoded(picture: Image.Image, drawn: bool) -> ReadyImage:
    """Return a PNG where JPEG would spoil the picture and it is small enough; else a JPEG."""
    if picture.mode == "RGBA" or drawn:
        fewer = _png(picture.quantize(256, Image.Quantize.FASTOCTREE))
        if len(fewer.body) <= _TARGET:  # or all its colours will not fit either, and take seconds
            whole = _png(picture)
            return whole if len(whole.body) <= _TARGET else fewer
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    for smaller in _narrower(picture):
        for quality in _QUALITIES:
            jpeg = _jpeg(smaller, quality)
            if len(jpeg.body) <= _TARGET:
                return jpeg
    return jpeg


def _narrower(picture: Image.Image) -> Iterator[Image.Image]:
    yield picture
    for width in _SMALLER_WIDTHS:
        if picture.width > width:
            yield _resized(picture, width / picture.width)


def _png(picture: Image.Image) -> ReadyImage:
    return _written(picture, "image/png", "PNG")


def _jpeg(picture: Image.Image, quality: int) -> ReadyImage:
    return _written(picture, "image/jpeg", "JPEG", quality=quality, optimize=True)


def _written(picture: Image.Image, media_type: str, kind: str, **how: object) -> ReadyImage:
    bare = picture.copy()
    bare.info.clear()  # Pillow would write comments and profiles of the file that it came from
    out = io.BytesIO()
    bare.save(out, kind, **how)
    return ReadyImage(out.getvalue(), media_type, picture.width, picture.height)
