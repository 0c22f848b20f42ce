"""Reading CSS as it stands in mails: rules with the media that they are for, and declarations.

Nobody promises that it is well-formed: what cannot be read is passed over. Linear in its length,
and of a sheet that is too long for any mail only the beginning is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

LONGEST = 200_000
"""Characters of CSS that are read."""

_LONGEST_STRING = 300
_MARK = re.compile(
    rf"\"(?:[^\"\\\n]|\\.){{0,{_LONGEST_STRING}}}\""
    rf"|'(?:[^'\\\n]|\\.){{0,{_LONGEST_STRING}}}'"
    r"|\([^(){};]{0,2000}\)|[{};]"
)
_GROUPS = ("@media", "@supports", "@layer", "@container", "@document")


class Declaration(NamedTuple):
    """`name: value`, in small letters but for the value."""

    name: str
    value: str
    important: bool = False


@dataclass(slots=True)
class Rule:
    """Selectors, what they set, and the at-rules that the rule stands in, outermost first."""

    selectors: tuple[str, ...]
    within: tuple[str, ...]
    declarations: list[Declaration] = field(default_factory=list)


@dataclass(slots=True)
class Sheet:
    """A style element's rules, and all its at-rules as they begin."""

    rules: list[Rule] = field(default_factory=list)
    at_rules: list[str] = field(default_factory=list)
    nests: bool = False


def read_sheet(text: str) -> Sheet:
    """Read what stands in a style element."""
    text = _without_comments(text[:LONGEST])
    sheet, blocks, begin = Sheet(), list[str | Rule](), 0
    for mark in _MARK.finditer(text):
        sign = mark.group()
        if sign not in "{};":
            continue
        words, begin = " ".join(text[begin : mark.start()].split()), mark.end()
        inside = blocks[-1] if blocks else None
        if sign == "{":
            blocks.append(_opened(sheet, blocks, words))
            continue
        if isinstance(inside, Rule):
            inside.declarations.extend(read_style(words))
        elif words.startswith("@"):
            sheet.at_rules.append(words.lower())
        if sign == "}" and blocks:
            blocks.pop()
    return sheet


def read_style(text: str) -> list[Declaration]:
    """Read what stands in a style attribute."""
    return list(_declarations(_without_comments(text[:LONGEST])))


def _opened(sheet: Sheet, blocks: list[str | Rule], words: str) -> str | Rule:
    if words.startswith("@"):
        sheet.at_rules.append(words.lower())
        return words.lower()
    within = tuple(block for block in blocks if isinstance(block, str))
    if any(isinstance(block, Rule) for block in blocks):
        sheet.nests = True
        return Rule((), within)
    rule = Rule(tuple(part.strip() for part in words.split(",") if part.strip()), within)
    if all(block.startswith(_GROUPS) for block in within):
        sheet.rules.append(rule)
    return rule


def _declarations(text: str) -> Iterator[Declaration]:
    begin = 0
    ends = [mark.start() for mark in _MARK.finditer(text) if mark.group() == ";"]
    for end in (*ends, len(text)):
        name, colon, value = text[begin:end].partition(":")
        begin = end + 1
        value = " ".join(value.split())
        if not (colon and value and name.strip()):
            continue
        plain = re.sub(r"\s*!\s*important$", "", value, flags=re.IGNORECASE)
        yield Declaration(name.strip().lower(), plain, plain != value)


def _without_comments(text: str) -> str:
    pieces, begin = [], 0
    while (start := text.find("/*", begin)) >= 0:
        pieces.append(text[begin:start])
        end = text.find("*/", start + 2)
        if end < 0:
            return "".join(pieces)
        begin = end + 2
    return "".join([*pieces, text[begin:]])
