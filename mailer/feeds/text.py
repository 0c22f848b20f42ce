"""From markup of strangers to plain text."""

from __future__ import annotations

import html
import re

import nh3

_SPACE = re.compile(r"\s+")
_BLOCK = re.compile(r"(?i)<(?:/p|br|/div|/li|/h[1-6]|/blockquote|/figcaption)\b[^>]*>")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u2028\u2029\ufeff\ud800-\udfff]")
_OVERRIDE = re.compile("[\u202a-\u202e]")
"""What turns letters round for the reader's eye, and the words of others that follow; texts in
Arabic do without, and keep the marks that they need."""
_SENTENCE_END = re.compile(r"[.!?…؟。።](?=\s)")
_SUMMARY = 300
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")


def plain(markup: str) -> str:
    """Return the text of HTML: no tags, no script, entities decoded once, white space folded."""
    spaced = _BLOCK.sub(" ", _CONTROL.sub(" ", markup))
    text = html.unescape(nh3.clean(spaced, tags=set(), clean_content_tags={"script", "style"}))
    return folded(text)


def folded(text: str) -> str:
    """Return text on one line, without control characters."""
    return _SPACE.sub(" ", _CONTROL.sub(" ", _OVERRIDE.sub("", text))).strip()


def language_tag(text: str) -> str:
    """Return a language as BCP 47 has it (`en_GB` → `en-GB`); nothing for what is none."""
    tag = text.strip().split(",")[0].strip().replace("_", "-")
    return tag if _TAG.fullmatch(tag) else ""


def shortened(text: str, limit: int = _SUMMARY) -> str:
    """Return at most `limit` characters, cut at a sentence if one ends late enough, else a word."""
    if len(text) <= limit:
        return text
    ends = [found.end() for found in _SENTENCE_END.finditer(text[: limit + 1])]
    if ends and ends[-1] > limit // 3:
        return text[: ends[-1]]
    return text[: text.rfind(" ", 0, limit - 1)].rstrip(" ,;:–—-") + "…"
