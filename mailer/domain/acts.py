"""What operators can do on the command line, and whether it touches people: one table of all verbs.

Whatever does is written into the audit trail. A test walks the command tree, so that no verb can be
added without a decision here.
"""

from __future__ import annotations

from enum import StrEnum


class Touch(StrEnum):
    """How a verb touches readers; NOBODY's is the only one that leaves no line in the trail."""

    CHANGES = "changes"  # in the transaction that does it
    TAKES_OUT = "takes out"  # before the first row leaves
    LOOKS = "looks"  # as long as nothing stands in the way: looking must not fail for it
    NOBODY = "nobody"


VERBS = {
    **dict.fromkeys(
        (
            "subscriber add", "subscriber import", "subscriber edit", "subscriber unsubscribe",
            "suppression add", "suppression remove", "suppression import",
            "campaign test", "campaign send", "campaign breaking", "campaign schedule",
            "campaign pause", "campaign correct",
            "campaign resume", "campaign cancel", "campaign retry", "campaign reconcile",
            "campaign approve", "seed add", "seed remove",
            "digest pin", "digest exclude", "digest top", "digest edit",
            "digest add", "digest run", "digest pause", "digest resume", "digest remove",
            "provider hold", "provider release",
            "privacy erase", "privacy retention",
            "notice ask", "topic remove",
            "db restore", "db resume",
        ),
        Touch.CHANGES,
    ),
    **dict.fromkeys(
        (
            "subscriber export", "suppression export", "privacy export", "db backup",
            "consent export", "consent prove",
        ),
        Touch.TAKES_OUT,
    ),
    **dict.fromkeys(
        (
            "subscriber list", "subscriber show", "subscriber history", "consent show",
            "suppression list", "campaign deliveries", "seed list",
            "campaign preview",  # as a reader sees it; else nobody's
            "publisher trail",
        ),
        Touch.LOOKS,
    ),
    **dict.fromkeys(
        (
            "init", "doctor", "status", "up", "web", "worker", "beat", "bench", "demo",
            "db upgrade", "db check", "privacy record",
            "consent audit", "consent checkpoint", "consent verify",
            "publisher show", "publisher edit",
            "newsletter add", "newsletter list", "newsletter show", "newsletter edit",
            "theme show", "theme set", "theme reset",
            "template list", "template copy", "template preview", "template check",
            "purpose add", "purpose list", "notice publish", "notice list", "notice show",
            "topic add", "topic list", "topic edit",
            "feed add", "feed edit", "feed list", "feed fetch", "feed remove",
            "article add", "article list", "article show", "article edit", "article remove",
            "digest list", "digest show", "digest preview",
            "campaign create", "campaign check",
            "campaign list", "campaign show", "campaign report",
            "relay add", "relay list", "relay pause", "relay drain", "relay resume",
            "relay remove", "provider list",
        ),
        Touch.NOBODY,
    ),
}  # fmt: skip
"""Noun and verb → how it touches readers."""
