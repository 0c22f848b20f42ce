"""Putting a whole list of addresses on the suppression list, a batch in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.suppression import SCOPE_ALL
from mailer.domain.suppression_list import Listed, Rejected
from mailer.store.batches import Batches
from mailer.store.engine import Sessions, reading
from mailer.store.models import Newsletter
from mailer.store.suppressions import Added, Listing, suppress_all


@dataclass(slots=True)
class Imported:
    """How many lines came to what."""

    added: int = 0
    known: int = 0
    rejected: int = 0


def import_suppressions(
    sessions: Sessions,
    entries: Iterable[Listed | Rejected],
    *,
    scope: str,
    detail: str,
    now: Callable[[], datetime],
    pause: Callable[[], None],
    note: Callable[[Session, Added], None],
    reject: Callable[[Rejected], None],
) -> Imported:
    """Put all entries on the list; what the file does not say is `scope` and `detail`.

    Doing it again changes nothing, so that an interrupted import is simply begun anew. `note` is
    called in every transaction that adds something, `pause` between two of them.
    """
    with reading(sessions) as session:
        scopes = {SCOPE_ALL, *session.scalars(select(Newsletter.slug))}
    imported = Imported()

    def usable() -> Iterator[Listing]:
        for entry in entries:
            checked = _checked(entry, scopes)
            if isinstance(checked, Rejected):
                imported.rejected += 1
                reject(checked)
            else:
                yield Listing(
                    checked.hashed, checked.scope or scope, checked.reason,
                    _storable(checked.detail or detail), checked.since or now(),
                )  # fmt: skip

    left = usable()
    batches = Batches(50, least=10, most=1_000)
    while batch := list(islice(left, batches.size)):
        with batches.transaction(sessions) as session:
            done = suppress_all(session, batch, now=now())
            if done.added:
                note(session, done)
        imported.added += done.added
        imported.known += len(batch) - done.added
        pause()
    return imported


def _checked(entry: Listed | Rejected, scopes: set[str]) -> Listed | Rejected:
    if isinstance(entry, Listed) and entry.scope and entry.scope not in scopes:
        return Rejected(entry.line, entry.text, f"there is no newsletter “{entry.scope}”")
    return entry


def _storable(text: str) -> str:
    """Return the text without what no database stores."""
    return text.replace("\0", "�")
