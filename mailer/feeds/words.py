"""Words that stand before a name: who made a picture, and who wrote a story, in many languages.

English, French, Portuguese and Spanish, German, Arabic, Swahili, Hausa, Amharic. A word that is
also a name, or begins one, is only taken away where the language is known, or a colon follows.
"""

from __future__ import annotations

import re

from mailer.feeds.text import folded

_STOP = r"\s*[:：፦፡]\s*"
_PICTURE_WORDS = (
    r"photo(?:graph(?:y|ie)?s?|s)?(?:\s+(?:credit|courtesy))?|(?:file|handout)\s+photo"
    r"|cr[eé]dit(?:o|os|s)?(?:\s+(?:photo(?:graphique)?s?|imagem|da\s+foto|de\s+la\s+foto))?"
    r"|copyright|courtesy|foto(?:s|graf[ií]a)?|تصوير|بعدسة|عدسة|picha|hoto(?:n|na|una)?|ፎቶ(?:ግራፍ)?"
)
_ONLY_WITH_A_STOP = (
    r"images?|pictures?|illustration|imagem|imagen|bild|source|photo\s+source|image\s+source"
    r"|(?:م?صدر\s+)?(?:ال)?صورة|المصدر|حقوق\s+الصورة|chanzo(?:\s+cha\s+picha)?|mpiga\s+picha"
    r"|asalin\s+hoton?|ምስል|የፎቶው?\s+ባለመብት"
)
"""Agencies are called Picture Alliance or Image Bank."""

_BY = r"by|of|par|por|de|von|na|ya|daga"
_AT_THE_BEGIN = re.compile(
    rf"^(?:(?:{_PICTURE_WORDS}|{_ONLY_WITH_A_STOP})\s*[:：፦፡,،]\s*(?:©\s*)?"
    rf"|(?:{_PICTURE_WORDS})(?:\s+(?:{_BY}))?(?=[\s/©(]|$)\s*"
    rf"|[©(]+\s*|\(c\)\s*)",
    re.I,
)
_IN_A_CAPTION = re.compile(
    rf"(?<!\w)(?:{_PICTURE_WORDS}|{_ONLY_WITH_A_STOP})(?:{_STOP}|\s*©\s*)"
    rf"|(?:^|(?<=[.!?…።؟|(])|(?<=[.!?…።؟|(]\s))(?:{_PICTURE_WORDS})\s+(?:{_BY})\s+"
    rf"|©\s*",
    re.I,
)
_LONGEST_CREDIT = 100

_BYLINES = {
    "": r"(?:words|story|text|written|reported)?\s*by|بقلم",
    "fr": r"(?:propos\s+recueillis\s+|texte\s+)?par",
    "pt": r"por|texto\s+de",
    "es": r"por|texto\s+de",
    "de": r"von",
    "ar": r"كتبت?|تحرير|إعداد|تقرير",
    "sw": r"(?:imeandikwa\s+)?na|mwandishi",
    "ha": r"daga(?:\s+bakin)?|marubuci(?:ya)?",
    "am": r"በ|ጸሐፊ|ዘጋቢ|አዘጋጅ",
}


def credit(text: str) -> str:
    """Return who made a picture, without the words that say so."""
    text, before = folded(text).strip(" ()[]|"), None
    while text != before:
        before, text = text, _AT_THE_BEGIN.sub("", text).strip(" ()[]-–—:•|")
    return text


def caption_and_credit(text: str) -> tuple[str, str]:
    """Return what a caption says of the picture, and who made it, apart."""
    text = folded(text)
    for found in reversed(list(_IN_A_CAPTION.finditer(text))):
        named = credit(text[found.start() :])
        if named and len(named) <= _LONGEST_CREDIT:
            return text[: found.start()].strip(" |–—-•(["), named
    return text.strip(" |–—-•"), ""


def author(text: str, language: str) -> str:
    """Return who wrote a story, without the word that says so in the `language` (BCP 47)."""
    spoken = language.split("-")[0].lower()
    words = "|".join({_BYLINES[""], _BYLINES.get(spoken, _BYLINES[""])})
    return re.sub(rf"^(?:{words})(?:{_STOP}|\s+)", "", folded(text), flags=re.I).strip(" :|·,-–—")
