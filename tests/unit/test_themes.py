"""A theme is readable, in light and dark, or it is refused with a word that helps."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.colours import READABLE, contrast, readable_on
from mailer.domain.fonts import FONTS, script_of, stack
from mailer.domain.themes import COLOURS, BadTheme, Palette, theme_of

colours = st.from_regex(r"#[0-9a-f]{6}", fullmatch=True)


def pairs(palette: Palette) -> list[tuple[str, str]]:
    """Return every text of a mail with every ground that it stands on."""
    texts = (palette.ink, palette.quiet, palette.accent)
    return [
        *product(texts, (palette.sheet, palette.tint)),
        (palette.quiet, palette.paper),
        (palette.on_accent, palette.accent),
    ]


def test_black_on_white_is_21_and_a_colour_on_itself_is_1() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#9a3412", "#9a3412") == 1
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # known from WCAG


def test_the_standard_theme_can_be_read() -> None:
    theme = theme_of({})
    for text, ground in pairs(theme.light) + pairs(theme.dark):
        assert contrast(text, ground) >= READABLE


@given(st.dictionaries(st.sampled_from(sorted(COLOURS)), colours))
def test_whatever_is_not_refused_can_be_read(settings: dict[str, str]) -> None:
    try:
        theme = theme_of(settings)
    except BadTheme:
        return
    for text, ground in pairs(theme.light) + pairs(theme.dark):
        assert contrast(text, ground) >= READABLE


@given(colours, colours)
def test_the_colour_that_is_advised_can_be_read(colour: str, ground: str) -> None:
    advised = readable_on(colour, ground)
    assert advised is not None
    assert contrast(advised, ground) >= READABLE


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"accent": "#ff9900"}, "accent #ff9900 .* 2.14:1, and 4.5:1 is needed: #a16000 would do"),
        ({"sheet": "#222222"}, "ink #1f1b16 .* or give ink too"),
        ({"dark_ink": "#333333"}, "dark-ink .* dark-sheet"),
        ({"accent": "red"}, "write it as #9a3412"),
        ({"accent": "#9a3412;}"}, "no colour"),
        ({"colour": "#9a3412"}, "no “colour”"),
        ({"font": "comic"}, "choose newspaper"),
        ({"logo": "javascript:x.png"}, "https"),
        ({"logo": "https://a.test/x.svg", "logo_alt": "x"}, "PNG or a JPEG"),
        ({"logo": "https://a.test/x.png"}, "--logo-alt"),
        ({"logo": "https://a.test/x.png", "logo_alt": "two\nlines"}, "one line each"),
        ({"logo": "https://a.test/x y.png", "logo_alt": "x"}, "one line each"),
        ({"logo_width": "900"}, "from 16 to 520"),
        ({"footer": "x" * 1001}, "shorten"),
        ({"footer": "a\x00b"}, "plain text"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_would_do(
    settings: dict[str, str], says: str
) -> None:
    with pytest.raises(BadTheme, match=says):
        theme_of(settings)


def test_an_accent_alone_is_lightened_for_dark_mode_and_says_so() -> None:
    theme = theme_of({"accent": "#0f766e"})
    assert theme.light.accent == "#0f766e"
    assert theme.dark.accent != "#0f766e"
    assert theme.dark.accent in theme.adjusted[0]
    assert theme_of({"accent": "#0f766e", "dark_accent": "#5eead4"}).adjusted == ()


def test_fonts_end_in_one_that_every_machine_has_and_know_the_script() -> None:
    for heading, text in FONTS.values():
        for kind, script in product((heading, text), ("latin", "arabic", "ethiopic")):
            assert stack(kind, script).endswith("serif")
    assert "Naskh" in stack("serif", script_of("ar-EG"))
    assert "Ethiopic" in stack("sans", script_of("am"))
    assert [script_of(locale) for locale in ("ha", "ha-Arab", "xx", "")] == [
        "latin", "arabic", "latin", "latin",
    ]  # fmt: skip
