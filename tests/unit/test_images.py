"""Images of strangers: whatever they send, mails show a small picture that tells nothing else."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import encoded, photograph, picture
from PIL import Image, ImageCms

from mailer.feeds import NoImage, ReadyImage, ready_image

RED, TRANSPARENT = (255, 0, 0), (255, 0, 0, 0)
SMALL = (64, 48)


def shown(body: bytes) -> tuple[ReadyImage, Image.Image]:
    """Return what mails show of it, and the same opened again."""
    ready = ready_image(body)
    opened = Image.open(io.BytesIO(ready.body))
    opened.load()
    assert (opened.width, opened.height) == (ready.width, ready.height)
    assert opened.get_format_mimetype() == ready.media_type
    return ready, opened


def test_a_large_picture_becomes_twice_as_wide_as_a_mail() -> None:
    ready, opened = shown(picture(size=(4000, 2500), quality=95))
    assert (ready.width, ready.height, ready.media_type) == (1200, 750, "image/jpeg")
    assert len(ready.body) < 200_000
    assert not opened.info.get("progressive")
    assert ready.file == f"{ready.sha256}.jpg"
    assert ready == ready_image(picture(size=(4000, 2500), quality=95))


def test_a_small_picture_stays_as_small_as_it_is() -> None:
    ready, _ = shown(picture(size=(300, 200)))
    assert (ready.width, ready.height) == (300, 200)


def test_a_tower_is_not_let_in_at_full_height() -> None:
    ready, _ = shown(picture(size=(600, 6000)))
    assert (ready.width, ready.height) == (240, 2400)


def test_a_picture_that_cannot_be_packed_small_is_made_narrower() -> None:
    noise = Image.effect_noise((1200, 1800), 120).convert("RGB")
    ready, _ = shown(encoded(noise, "JPEG", quality=95))
    assert ready.width < 1200
    assert len(ready.body) < 200_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_photograph_is_a_jpeg_whatever_it_came_as(kind: str) -> None:
    how: dict[str, Any] = {"WEBP": {"quality": 90}}.get(kind, {})
    ready, opened = shown(picture(kind, (1600, 900), **how))
    # GIF has 256 colours, so that it is taken for a drawing while it is small enough.
    assert ready.media_type == "image/jpeg" or kind == "GIF"
    assert opened.convert("RGB").getpixel((100, 100))[0] > 100 > 60  # type: ignore[index]
    assert len(ready.body) < 200_000


def test_a_drawing_stays_sharp_and_what_shines_through_shines_through() -> None:
    chart = Image.new("RGB", (800, 400), "white")
    chart.paste(RED, (100, 50, 300, 350))
    ready, opened = shown(encoded(chart, "PNG"))
    assert ready.media_type == "image/png"
    assert opened.convert("RGB").getpixel((200, 200)) == RED
    logo = Image.new("RGBA", (800, 400), TRANSPARENT)
    logo.paste((0, 0, 255, 255), (100, 50, 300, 350))
    _, opened = shown(encoded(logo, "PNG"))
    assert opened.convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]
    large = photograph((1200, 1200)).convert("RGBA")
    large.putalpha(Image.effect_noise((1200, 1200), 100))
    ready, _ = shown(encoded(large, "PNG", compress_level=1))
    assert (ready.media_type, len(ready.body) < 200_000) == ("image/jpeg", True)


def test_what_the_camera_wrote_is_gone_and_the_picture_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    exif[0x010F] = "Camera of Ada Obi"
    exif.get_ifd(0x8825)[2] = (6.0, 27.0, 18.0)  # where it was (GPSLatitude)
    taken = picture(size=(2000, 1000), exif=exif, comment=b"by Ada Obi")
    assert b"Ada Obi" in taken
    ready, opened = shown(taken)
    assert (ready.width, ready.height) == (1000, 2000)
    assert dict(opened.getexif()) == {}
    assert b"Ada Obi" not in ready.body
    assert b"Exif" not in ready.body
    assert "comment" not in opened.info
    red, blue = opened.getpixel((500, 100)), opened.getpixel((500, 1900))
    assert red[0] > red[2]  # type: ignore[index]
    assert blue[2] > blue[0]  # type: ignore[index]


def test_words_in_a_png_are_gone() -> None:
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text("Author", "Ada Obi")
    said.add_itxt("XML:com.adobe.xmp", "<x>Ada Obi</x>")
    taken = encoded(Image.new("RGB", SMALL, RED), "PNG", pnginfo=said, dpi=(300, 300))
    assert b"Ada Obi" in taken
    ready, opened = shown(taken)
    assert b"Ada Obi" not in ready.body
    assert opened.info == {}


LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SWAPPED = SRGB.replace(b"rXYZ", b"zXYZ").replace(b"bXYZ", b"rXYZ").replace(b"zXYZ", b"bXYZ")
"""In pictures of this profile blue is what is called red elsewhere."""


COLOURS = {
    "CMYK": (encoded(Image.new("CMYK", SMALL, (0, 255, 255, 0)), "JPEG", quality=95), RED),
    "a palette": (encoded(Image.new("RGB", SMALL, RED).quantize(4), "PNG"), RED),
    "a palette in which one colour is none": (
        encoded(Image.new("P", SMALL, 1), "PNG", transparency=0), None,
    ),
    "grey": (encoded(Image.new("L", SMALL, 77), "PNG"), (77, 77, 77)),
    "grey and alpha": (encoded(Image.new("LA", SMALL, (77, 255)), "PNG"), (77, 77, 77)),
    "grey with 16 bits": (encoded(Image.new("I;16", SMALL, 77 * 257), "PNG"), (77, 77, 77)),
    "black and white": (encoded(Image.new("1", SMALL, 1), "PNG"), (255, 255, 255)),
    "a profile": (encoded(Image.new("RGB", SMALL, (0, 0, 255)), "PNG", icc_profile=SWAPPED), RED),
    "a profile of another kind": (
        encoded(Image.new("RGB", SMALL, RED), "PNG", icc_profile=LAB), RED,
    ),
    "a profile that is none": (
        encoded(Image.new("RGB", SMALL, RED), "PNG", icc_profile=b"x" * 200), RED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COLOURS)
def test_colours_come_out_as_they_were_meant(case: str) -> None:
    body, wanted = COLOURS[case]
    _, opened = shown(body)
    found = opened.convert("RGB").getpixel((20, 20))
    assert opened.mode in ("RGB", "RGBA", "P")
    assert "icc_profile" not in opened.info
    if wanted:
        assert all(abs(one - other) <= 6 for one, other in zip(found, wanted, strict=True))  # type: ignore[arg-type]


def test_of_a_moving_picture_the_first_one_is_shown() -> None:
    others = [Image.new("RGB", SMALL, "blue"), Image.new("RGB", SMALL, "green")]
    for kind in ("GIF", "WEBP", "PNG"):
        moving = encoded(
            Image.new("RGB", SMALL, RED), kind, save_all=True, append_images=others, duration=100
        )
        _, opened = shown(moving)
        assert getattr(opened, "n_frames", 1) == 1
        assert opened.convert("RGB").getpixel((9, 9))[2] < 30  # type: ignore[index]


def _png_of(width: int, height: int) -> bytes:
    """Return a few octets that say they unpack to so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def _painted_over(times: int) -> bytes:
    """Return a progressive JPEG whose last scan comes so often."""
    body = picture(size=(1500, 1000), progressive=True, quality=30)
    end = len(body) - 2
    return body[:end] + body[body.rindex(b"\xff\xda") : end] * times + body[end:]


WHOLE = picture()
HOSTILE = {
    "nothing": (b"", "it is no JPEG"),
    "a page": (b"<!doctype html><script>alert(1)</script>", "it is no JPEG"),
    "a page that begins like a JPEG": (b"\xff\xd8\xff\xe0<script>alert(1)</script>" * 9, "it is"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "it is no JPEG"),
    "a TIFF": (encoded(Image.new("RGB", SMALL), "TIFF"), "it is no JPEG"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(x) run", "it is no JPEG"),
    "one that is painted over and over": (_painted_over(700), "too long to unpack"),
    "half of one": (WHOLE[: len(WHOLE) // 2], "it is damaged"),
    "a bomb": (_png_of(30_000, 30_000), "more than 50 million pixels"),
    "a bomb, twice the size that is let in": (_png_of(7_500, 7_500), "more than 50 million"),
    "far from what it says": (_png_of(3_000, 3_000), "it is damaged"),
    "a counting pixel": (encoded(Image.new("RGB", (1, 1)), "GIF"), "only 1 × 1 pixels"),
    "a line": (encoded(Image.new("RGB", (900, 8)), "PNG"), "only 900 × 8 pixels"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_image_is_refused_in_half_a_sentence(case: str) -> None:
    body, said = HOSTILE[case]
    with pytest.raises(NoImage, match=said) as refusal:
        ready_image(body)
    assert "\n" not in str(refusal.value)


@given(st.binary(max_size=200), st.integers(0, len(WHOLE) - 1))
def test_no_bytes_bring_a_reader_of_images_down(noise: bytes, at: int) -> None:
    for body in (noise, WHOLE[:at] + noise + WHOLE[at + len(noise) :]):
        with contextlib.suppress(NoImage):
            shown(body)
