"""What `mailer doctor` says of DKIM: who signs, with which keys, and what to publish for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy.orm import Session

from mailer.cli.doctor.findings import Finding
from mailer.domain.alignment import Alignment
from mailer.domain.errors import Refusal
from mailer.rendering.dkim import Algorithm, DkimKey
from mailer.services.newsletters.alignment import senders_not_aligned
from mailer.settings import Settings
from mailer.signing import dkim_key_files, dkim_signer

_CHECK = "DKIM"
_GOOD_RSA_BITS = 2048


def dkim_findings(settings: Settings) -> Iterator[Finding]:
    """Yield whether mails are signed, and of each key whether it is good, and its DNS record."""
    try:
        signer = dkim_signer(settings)
    except Refusal as refusal:
        yield Finding(_CHECK, False, str(refusal))
        return
    if signer is None:
        yield Finding(_CHECK, True, "off: the relay signs, or nobody does (docs/how-to/dkim.md)")
        return
    for key, path in zip(signer.keys, dkim_key_files(settings), strict=True):
        yield _key(key, path, signer.domain)
        yield Finding("DKIM record", True, f"publish in DNS: {key.record(signer.domain)}")


def alignment_finding(session: Session, domain: str) -> Finding:
    """Say whose From our signature does not speak for, so that DMARC ignores it."""
    found = senders_not_aligned(session, domain)
    apart = [f"{slug} ({sender})" for slug, sender, how in found if how is Alignment.APART]
    if apart:
        return Finding(
            "DKIM alignment",
            False,
            f"{', '.join(apart)}: signed for {domain}, which does not count for another domain: "
            "change its --from, or let its own relay sign.",
        )
    siblings = [f"{slug} ({sender})" for slug, sender, _ in found]
    if siblings:
        return Finding(
            "DKIM alignment",
            True,
            f"{', '.join(siblings)}: goes with {domain} if what stands above both is yours",
        )
    return Finding("DKIM alignment", True, f"every newsletter's From goes with {domain}")


def without_wrong_dkim(settings: Settings) -> Settings:
    """Return settings that can be opened, so that each thing is told once and in its place."""
    try:
        dkim_signer(settings)
    except Refusal:
        return replace(settings, dkim={})
    return settings


def _key(key: DkimKey, path: Path, domain: str) -> Finding:
    if path.stat().st_mode & 0o007:
        return Finding(_CHECK, False, f"everybody may read {path}: run `chmod o= {path}`.")
    if key.algorithm is Algorithm.RSA and key.bits < _GOOD_RSA_BITS:
        return Finding(
            _CHECK,
            False,
            f"the RSA key of {key.selector} has {key.bits} bits, which receivers distrust "
            f"(RFC 8301 §3.2): make one of {_GOOD_RSA_BITS} under another selector "
            "(docs/how-to/dkim.md).",
        )
    says = f"mails are signed for {domain} by {key.selector} ({key.algorithm}, {key.bits} bits)"
    return Finding(_CHECK, True, says)
