"""What an SMTP reply means, by the stage at which it came: one table.

Sources: RFC 5321 §4.2 (reply codes), RFC 3463 (enhanced codes). Only what concerns the address
may ever be held against the address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from mailer.domain.relays import RelayKind


class Stage(StrEnum):
    """How far the conversation had come."""

    CONNECT = "connect"  # connection, greeting, EHLO, TLS
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  # after the final dot


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: three digits, an enhanced code where there is one, and the text."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)

    @property
    def is_temporary(self) -> bool:
        """Say whether trying again may help (RFC 5321 §4.2.1)."""
        return 400 <= self.code < 500


class Verdict(StrEnum):
    """What follows from a refusal."""

    RETRY_READER = "retry reader"  # this delivery, later
    BACK_OFF_PROVIDER = "back off provider"  # everything for this receiver; charged to no reader
    SLOW_RELAY = "slow relay"  # as below, and slower after that
    BACK_OFF_RELAY = "back off relay"  # everything at this relay, later; charged to no reader
    FAIL_DELIVERY = "fail delivery"  # this delivery never
    PAUSE_CAMPAIGN = "pause campaign"  # sender or configuration: nobody will get it
    SUPPRESS_ADDRESS = "suppress address"  # this delivery never, nor any other to this address


_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CODES = re.compile(r"[245]\d\d(?:\s+[245]\.\d{1,3}\.\d{1,3})?(?=\s|$)")
_ADDRESS = re.compile(r"[^\s<>\"'(),;:]+@[^\s<>\"'(),;:]+")

_ADDRESS_IS_DEAD = frozenset({"5.1.1", "5.1.3", "5.1.6", "5.1.10"})
_CODES_OF_DEAD_DOMAINS = frozenset({521, 556})  # RFC 7504
_IS_GREYLISTED = re.compile(
    r"gr[ea]y-?\s?list", re.I
)  # it is about one reader, however it is coded
_IS_TOO_FAST = re.compile(
    r"throttl|rate.?limit|sending rate|too fast|slow down|unusual(ly high)? rate"
    r"|too (many|much) (mails?|e-?mails?|messages|connections|concurrent|requests|traffic)"
    r"|(rate|quota|limit) (has been |was |is )?exceeded|exceed(s|ed|ing) (its|the|your|maximum) ",
    re.I,
)
_SENDER_IS_REFUSED = re.compile(r"relay(ing)? (access )?denied|not permitted to relay", re.I)


def parse_reply(code: int, text: str) -> Reply:
    """Return the reply, with the enhanced code (RFC 2034) taken out of the text."""
    found = _ENHANCED.match(text)
    if found and found.group(1)[0] == str(code)[0]:
        return Reply(code, found.group(1), text[found.end() :].strip())
    return Reply(code, "", text.strip())


def classify(stage: Stage, reply: Reply, kind: RelayKind = RelayKind.QUEUEING) -> Verdict:
    """Return what follows from a reply other than success.

    Of a `direct` relay, what comes after the recipient was named is the receiver's own reply.
    """
    if stage in (Stage.CONNECT, Stage.AUTH):
        return Verdict.BACK_OFF_RELAY
    if kind is RelayKind.DIRECT and stage is not Stage.MAIL and _turns_us_away(reply):
        return Verdict.BACK_OFF_PROVIDER
    if is_throttling(reply):
        return Verdict.SLOW_RELAY
    if reply.code == 421:
        return Verdict.BACK_OFF_RELAY
    if reply.is_temporary:
        return Verdict.RETRY_READER
    match stage:
        case Stage.MAIL:
            return Verdict.PAUSE_CAMPAIGN
        case Stage.RCPT:
            return _refused_recipient(reply)
        case Stage.DATA | Stage.DOT:
            return Verdict.FAIL_DELIVERY
    raise AssertionError(stage)


def is_throttling(reply: Reply) -> bool:
    """Say whether the reply says in words that we send too much or too fast."""
    return (
        reply.is_temporary and not _is_about_reader(reply) and bool(_IS_TOO_FAST.search(reply.text))
    )


def _is_about_reader(reply: Reply) -> bool:
    """Say whether it is this one mailbox: its address, its quota, its rate (RFC 3463 §3.2, 3.3)."""
    mailbox = reply.enhanced.startswith(("4.1.", "4.2.")) or reply.enhanced == "4.5.3"
    return mailbox or bool(_IS_GREYLISTED.search(reply.text))


def _turns_us_away(reply: Reply) -> bool:
    """Say whether a receiver means us, not the reader: 4.7.x is policy (RFC 3463 §3.8)."""
    if reply.code == 421 or is_throttling(reply):
        return True
    policy = reply.is_temporary and reply.enhanced.startswith("4.7.")
    return policy and not _is_about_reader(reply)


def _refused_recipient(reply: Reply) -> Verdict:
    if reply.code == 552 and not reply.enhanced:
        return Verdict.RETRY_READER  # RFC 5321 §4.5.3.1.10: "too many recipients"
    if _SENDER_IS_REFUSED.search(reply.text):
        return Verdict.PAUSE_CAMPAIGN
    if reply.enhanced in _ADDRESS_IS_DEAD or reply.code in _CODES_OF_DEAD_DOMAINS:
        return Verdict.SUPPRESS_ADDRESS
    return Verdict.FAIL_DELIVERY


def numbers_of(said: str) -> str:
    """Return a reply's codes without its words, for the words may name the reader."""
    found = _CODES.match(said)
    return found.group(0).rstrip() if found else ""


def masked(text: str) -> str:
    """Return the text with every address in it replaced, fit to be kept for long."""
    return _ADDRESS.sub("‹address›", text)[:500] if "@" in text else text[:500]
