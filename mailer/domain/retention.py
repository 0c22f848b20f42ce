"""How long each kind of data is kept, and from when that counts.

One table: for the job that deletes, for the settings, and for what readers and authorities are
told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailer.domain.errors import Refusal
from mailer.domain.marking import N_

_LONGEST_DAYS = 36_500
NEVER = "never"


class BadPeriod(Refusal):
    """The text says no number of days; the message names the setting."""


class Kind(StrEnum):
    """A kind of data that ends by itself."""

    REQUESTS = "requests"
    UNCONFIRMED = "unconfirmed"
    LEFT = "left"
    ATTEMPTS = "attempts"
    FEEDBACK = "feedback"
    TESTS = "tests"
    ACTIONS = "actions"
    IMAGES = "images"
    LOGS = "logs"
    INBOX = "inbox"
    REJECTS = "rejects"
    PARTS = "parts"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the kind is, what its days count from, and how many they are unless set."""

    kind: Kind
    what: str
    counts_from: str
    days: int | None

    @property
    def setting(self) -> str:
        """The name of the setting."""
        return f"MAILER_RETENTION_{self.kind.upper()}"


RULES = (
    Rule(
        Kind.REQUESTS,
        N_("evidence (IP address, browser, page) of sign-ups that were never confirmed"),
        N_("the end of the request"),
        7,
    ),
    Rule(
        Kind.UNCONFIRMED,
        N_("readers who never confirmed anything: the whole person"),
        N_("the end of the last request"),
        30,
    ),
    Rule(
        Kind.LEFT,
        N_(
            "readers who have left everything: the whole person; a keyed hash keeps imports from "
            "bringing them back"
        ),
        N_("the day they left"),
        None,
    ),
    Rule(
        Kind.ATTEMPTS, N_("tries to hand a mail over, with the relay's replies"), N_("the try"), 90
    ),
    Rule(Kind.FEEDBACK, N_("bounces and complaints"), N_("their arrival"), 365),
    Rule(Kind.TESTS, N_("addresses that test mails went to"), N_("the test"), 30),
    Rule(Kind.ACTIONS, N_("what operators did (the audit trail)"), N_("the act"), 1_825),
    Rule(
        Kind.IMAGES, N_("images that no campaign shows"), N_("the last time they were fetched"), 7
    ),
    Rule(
        Kind.LOGS,
        N_("log files of the service (they name no reader)"),
        N_("the last line in them"),
        30,
    ),
    Rule(Kind.INBOX, N_("mails that the built-in inbox caught"), N_("their arrival"), 30),
    Rule(Kind.REJECTS, N_("files of rows that an import refused"), N_("the import"), 30),
    Rule(
        Kind.PARTS,
        N_("what a killed export or backup left unfinished"),
        N_("the last write to it"),
        1,
    ),
)


@dataclass(frozen=True, slots=True)
class Period:
    """How long one kind is kept here; None: until the person is erased."""

    rule: Rule
    days: int | None

    def before(self, now: datetime) -> datetime | None:
        """Return the moment before which nothing of this kind is kept; None: everything is."""
        return None if self.days is None else now - timedelta(days=self.days)


Periods = Mapping[Kind, Period]


def read_periods(given: Mapping[str, str]) -> dict[Kind, Period]:
    """Return the periods as settings by name say; raises BadPeriod."""
    return {rule.kind: Period(rule, _days(rule, given.get(rule.setting))) for rule in RULES}


def _days(rule: Rule, text: str | None) -> int | None:
    if not text:
        return rule.days
    if text.strip().lower() == NEVER:
        return None
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= _LONGEST_DAYS:
        return int(text)
    raise BadPeriod(
        f"{rule.setting} is “{text[:40]}”: write a whole number of days from 1 to "
        f"{_LONGEST_DAYS}, or {NEVER}."
    )
