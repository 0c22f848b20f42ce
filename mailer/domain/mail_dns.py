"""What a domain's TXT records say of who may send for it: SPF, and the keys of DKIM.

Pure: the texts of the records come as DNS has them. They are anybody's, and may hold anything.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Sequence
from typing import NamedTuple

_RESERVED = ("test", "example", "invalid", "localhost", "example.com", "example.net", "example.org")
_MOST_LOOKUPS = 10
_ASKS_DNS = re.compile(r"[+\-~?]?(?:include:|a(?:[:/]|$)|mx(?:[:/]|$)|ptr(?::|$)|exists:)", re.I)
_SPACE = " \t\r\n"
_SHOWN = 60


class Judgement(NamedTuple):
    """Whether a record does its work, and one sentence that says so, or what to do."""

    fine: bool
    says: str


def is_reserved(domain: str) -> bool:
    """Say whether the name is kept for tests and examples, so that nobody can publish anything.

    (RFC 2606, RFC 6761)
    """
    name = domain.lower().rstrip(".")
    return any(name == each or name.endswith(f".{each}") for each in _RESERVED)


def judge_spf(domain: str, texts: Sequence[bytes]) -> Judgement:
    """Judge the SPF record of a domain that stands in MAIL FROM (RFC 7208)."""
    records = [text for text in texts if _is_spf(text)]
    if not records:
        return Judgement(
            False,
            f"{domain} has no SPF record: publish one that names your relay, such as "
            f'"v=spf1 include:relay.example ~all" (the relay\'s documentation has the name).',
        )
    if len(records) > 1:
        return Judgement(
            False,
            f"{domain} has {len(records)} SPF records, and receivers then heed none "
            "(RFC 7208 §4.5): make one of them.",
        )
    if not records[0].isascii():
        return Judgement(
            False, f"the SPF record of {domain} is not ASCII: receivers reject it as broken."
        )
    terms = records[0].decode("ascii").lower().split()[1:]
    if "all" in terms or "+all" in terms:
        return Judgement(
            False, f"the SPF record of {domain} lets everybody send (+all): end it with ~all."
        )
    if terms == ["-all"]:
        return Judgement(
            False,
            f"the SPF record of {domain} says that it sends no mail at all (only -all): add your "
            "relay to it.",
        )
    asks = sum(bool(_ASKS_DNS.match(term)) for term in terms)
    asks += any(term.startswith("redirect=") for term in terms)
    if asks > _MOST_LOOKUPS:
        return Judgement(
            False,
            f"the SPF record of {domain} makes receivers ask DNS {asks} times, and they stop at "
            f"{_MOST_LOOKUPS} (RFC 7208 §4.6.4): take out what you do not use.",
        )
    return Judgement(True, f"{domain} has one record: see that your relay stands in it")


def judge_dkim_key(name: str, texts: Sequence[bytes], algorithm: str, public: str) -> Judgement:
    """Judge what stands in DNS under a selector: it must be the public half of our key (RFC 6376).

    `public` is the text behind `p=` of the record that we ask to publish.
    """
    if not texts:
        return Judgement(
            False, f"{name} holds no key: publish the line that “DKIM record” shows, and wait."
        )
    if len(texts) > 1:
        return Judgement(
            False, f"{name} holds {len(texts)} records: leave one, or receivers may take another."
        )
    tags = tags_of(texts[0])
    wrong = _what_is_wrong_with(tags, algorithm)
    if wrong:
        return Judgement(False, f"{name} {wrong}")
    if _decoded(tags["p"]) != _decoded(public):
        return Judgement(
            False,
            f"{name} holds the public key of another private key, so that no signature of ours "
            "is right: publish the line that “DKIM record” shows.",
        )
    if "y" in tags.get("t", "").split(":"):
        return Judgement(
            True, f"{name} holds our key, and says that you only try it out (t=y): take that out"
        )
    return Judgement(True, f"{name} holds our key")


def tags_of(text: bytes) -> dict[str, str]:
    """Return a record's tags as far as they can be read (RFC 6376 §3.2); of two the first."""
    tags: dict[str, str] = {}
    for part in text.decode("ascii", "replace").split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(_SPACE).lower(), value.strip(_SPACE))
    return tags


def quoted(text: str) -> str:
    """Return a stranger's text as it may stand in a sentence."""
    printable = "".join(each for each in text if each.isprintable())
    return f"“{printable[:_SHOWN]}{'…' if len(printable) > _SHOWN else ''}”"


def _is_spf(text: bytes) -> bool:
    return text[:6].lower() == b"v=spf1" and text[6:7] in (b"", b" ")


def _what_is_wrong_with(tags: dict[str, str], algorithm: str) -> str | None:
    """Return what makes receivers leave a key alone (RFC 6376 §3.6.1), or None."""
    if next(iter(tags), "v") == "v" and tags.get("v", "DKIM1") != "DKIM1":
        return f"is no DKIM record, but of version {quoted(tags['v'])}."
    if "v" in tags and next(iter(tags)) != "v":
        return "is ignored: v=DKIM1 must stand first."
    if "p" not in tags:
        return "holds no key (no p=): publish the line that “DKIM record” shows."
    if not tags["p"]:
        return "says that the key is revoked (an empty p=): make a new one under another selector."
    if tags.get("k", "rsa").lower() != algorithm:
        return f"holds a key for {quoted(tags.get('k', 'rsa'))}, and ours is for {algorithm}."
    if "h" in tags and "sha256" not in tags["h"].lower().replace(" ", "").split(":"):
        return f"allows other hashes than ours (h={quoted(tags['h'])}): take h= out."
    if not {"*", "email"} & set(tags.get("s", "*").lower().replace(" ", "").split(":")):
        return f"is not for mail (s={quoted(tags['s'])}): take s= out."
    return None


def _decoded(key: str) -> bytes | None:
    try:
        return b64decode(re.sub(r"\s", "", key), validate=True)
    except (NotBase64, ValueError):
        return None
