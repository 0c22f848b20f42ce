"""Everything that can be told of a mail without asking anybody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mailer.checking.clients import USUAL, client_findings
from mailer.checking.contrast import contrast_findings
from mailer.checking.findings import Finding, sorted_once
from mailer.checking.inbox import (
    preheader_findings,
    size_findings,
    subject_findings,
    text_findings,
)
from mailer.checking.links import link_findings
from mailer.checking.mail import Mail
from mailer.checking.placeholders import placeholder_findings
from mailer.checking.sender import (
    address_findings,
    header_findings,
    leaving_findings,
    own_url_findings,
)
from mailer.checking.structure import (
    heading_findings,
    image_findings,
    language_findings,
    style_findings,
    table_findings,
    title_findings,
)

CHECKS = (
    subject_findings, preheader_findings, size_findings, text_findings,
    leaving_findings, address_findings, header_findings, own_url_findings,
    placeholder_findings, link_findings, image_findings,
    language_findings, title_findings, heading_findings, table_findings, style_findings,
    contrast_findings,
)  # fmt: skip
"""Each takes a mail and yields what it finds."""


def content_findings(mails: Iterable[Mail], clients: Sequence[str] = USUAL) -> list[Finding]:
    """Return what all checks find in the variants of one mail, worst first, each once."""
    return sorted_once(
        finding
        for mail in mails
        for check in (*CHECKS, lambda mail: client_findings(mail, clients))
        for finding in check(mail)
    )
