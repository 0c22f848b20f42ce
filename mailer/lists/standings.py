"""What lists call the standing of a reader, and the exports of other programs that we know.

Checked against what these programs write: Mailchimp (audience export), Substack (email list), Ghost
(members), listmonk (subscribers), and `mailer subscriber export` itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from mailer.domain.importing import STRENGTH, Standing

Rule = Callable[[str], Standing | None]
"""Says what one cell means; None where it says nothing. Raises UnknownStanding."""


class UnknownStanding(ValueError):
    """A cell that should say how the reader stands says something else."""


def plain(name: str) -> str:
    """Return a column's name, or a cell's word, without case, spaces and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())


_WORDS = {
    Standing.SUBSCRIBED: "subscribed active enabled confirmed optedin optin yes true 1",
    Standing.UNCONFIRMED: (
        "unconfirmed pending unverified nonsubscribed notsubscribed transactional expired none"
    ),
    Standing.UNSUBSCRIBED: (
        "unsubscribed unsub optedout optout left refused removed inactive disabled cancelled "
        "no false 0"
    ),
    Standing.BOUNCED: "cleaned bounced bounce hardbounced hardbounce invalid undeliverable",
    Standing.COMPLAINED: "complained complaint spam abuse reportedspam markedasspam spamcomplaint",
    Standing.BLOCKED: "blocklisted blacklisted blocked suppressed banned",
}
_STANDINGS = {word: standing for standing, words in _WORDS.items() for word in words.split()}


def said(cell: str) -> Standing:
    """Return the standing that a word means; raises UnknownStanding."""
    standing = _STANDINGS.get(plain(cell))
    if standing is None:
        raise UnknownStanding(cell)
    return standing


def knows(cell: str) -> bool:
    """Say whether the cell is a word for a standing."""
    return plain(cell) in _STANDINGS


def _filled(standing: Standing, cell: str) -> Standing | None:
    return standing if cell.strip() else None


def _true(standing: Standing, cell: str) -> Standing | None:
    return standing if said(cell) is Standing.SUBSCRIBED else None


# No lambdas: rules go to other processes.
def _if_filled(standing: Standing) -> Rule:
    return partial(_filled, standing)


def _if_true(standing: Standing) -> Rule:
    return partial(_true, standing)


def _said_if_filled(cell: str) -> Standing | None:
    return said(cell) if cell.strip() else None


@dataclass(frozen=True, slots=True)
class Export:
    """What another program's export is known by, and what its columns mean (plain names).

    A field with several columns takes the first that is filled.
    """

    name: str
    known_by: frozenset[str]
    fields: Mapping[str, tuple[str, ...]]
    rules: Mapping[str, Rule]
    attributes: tuple[str, ...] = ()
    json_attributes: str = ""
    file_names: Mapping[str, Standing] = field(default_factory=dict)
    """How the file's name begins, where that alone says who is in it."""


EXPORTS = (
    Export(
        "Mailchimp",
        frozenset({"memberrating", "optintime"}),
        {
            "email": ("emailaddress", "email"),
            "name": ("fullname", "name"),
            "first_name": ("firstname", "fname"),
            "last_name": ("lastname", "lname"),
            "timezone": ("timezone",),
            "stated_at": ("confirmtime", "optintime"),
            "left_at": ("unsubtime",),
        },
        {
            "cleantime": _if_filled(Standing.BOUNCED),
            "unsubtime": _if_filled(Standing.UNSUBSCRIBED),
            "status": _said_if_filled,
            "emailmarketingstatus": _said_if_filled,
        },
        attributes=("tags",),
        file_names={
            "unsubscribed_": Standing.UNSUBSCRIBED,
            "cleaned_": Standing.BOUNCED,
            "nonsubscribed_": Standing.UNCONFIRMED,
        },
    ),
    Export(
        "Substack",
        frozenset({"email", "activesubscription", "createdat"}),
        {"email": ("email",), "name": ("name",), "stated_at": ("createdat",)},
        {"emaildisabled": _if_true(Standing.UNSUBSCRIBED)},
        attributes=("plan",),
    ),
    Export(
        "Ghost",
        frozenset({"email", "subscribedtoemails", "createdat"}),
        {
            "email": ("email",),
            "name": ("name",),
            "stated_at": ("createdat",),
            "left_at": ("deletedat",),
        },
        {"deletedat": _if_filled(Standing.UNSUBSCRIBED), "subscribedtoemails": said},
        attributes=("labels",),
    ),
    Export(
        "listmonk",
        frozenset({"uuid", "email", "attributes", "status"}),
        {"email": ("email",), "name": ("name",), "stated_at": ("createdat",)},
        {"status": said, "subscriptionstatus": _said_if_filled},
        json_attributes="attributes",
    ),
    Export(
        "mailer",
        frozenset({"subscriberid", "email", "state", "subscriptions"}),
        {
            "email": ("email",),
            "name": ("name",),
            "locale": ("locale",),
            "timezone": ("timezone",),
        },
        {"state": said},
    ),
)


def strongest(standings: list[Standing]) -> Standing:
    """Return what counts where several columns say something: no is stronger than yes.

    That somebody has not confirmed is stronger than that the account is enabled.
    """
    firm = [each for each in standings if each is not Standing.UNCONFIRMED]
    if len(firm) < len(standings) and set(firm) <= {Standing.SUBSCRIBED}:
        return Standing.UNCONFIRMED
    return min(firm, key=STRENGTH.__getitem__)
