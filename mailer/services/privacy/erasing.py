"""Forgetting a reader: first in one transaction all that stands in rows, then all that does not.

The transaction withdraws, and closes what is still open, as everybody who leaves does; so nothing
that was not past the gate is sent after it. It also writes down that the reader was erased. Whoever
dies after it leaves an erasure that is not yet `cleaned`, and the sweep, or the same command once
more, goes on with it (docs/crash-table.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from mailer.domain.addresses import EmailAddress, address_hash, parse_address
from mailer.domain.consent import Method
from mailer.domain.errors import Refusal
from mailer.domain.persons import Person
from mailer.domain.suppression import SuppressionReason
from mailer.services.consent.preferences import withdraw
from mailer.store.consents import Evidence
from mailer.store.engine import Sessions, reading
from mailer.store.erasures import (
    delete_reader,
    forget_providers,
    is_erased,
    last_erasure,
    lonely_providers,
    note_erasure,
    on_their_way,
    person_of,
    strip_deliveries_of,
    strip_mentions,
    strip_tests_to,
    unfinished,
)
from mailer.store.models import Erasure, Subscriber
from mailer.store.readers import lock_reader_of
from mailer.store.suppressions import suppress
from mailer.store.traces import holds, wipe
from mailer.transports.capture import Mailbox

_log = structlog.get_logger()

_LEFT_TO_THE_COMMAND = timedelta(minutes=5)
"""The sweep does not do at the same time what the command itself is doing."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an erasure found of the reader, by number."""

    withdrawn: int = 0
    evidence: int = 0
    deliveries: int = 0
    tests: int = 0
    bounces: int = 0  # that nobody could match to a reader


@dataclass(frozen=True, slots=True)
class Erased:
    """An erasure whose transaction is done."""

    address_hash: str
    person: Person
    subscriber_id: int | None
    """Of the reader who is gone; None: there was none of this address."""
    before: datetime | None
    """When whoever had this address was erased the time before."""
    found: Found
    sought: tuple[bytes, ...] | None
    """What must not be left between the rows either: the person's texts, and the reader's key.
    None: an erasure before this one was not finished, and what it sought is known no more."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where, besides in rows, a reader leaves traces."""

    home: Path
    inbox: Mailbox
    engine: Engine
    owner_url: str  # of the database, for its tables' owner
    suppression_key: bytes


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was done outside of the rows; `waits` says why it is not finished."""

    mails: int
    waits: str = ""


def erase(
    session: Session, address: EmailAddress, *, key: bytes, method: str, now: datetime
) -> Erased:
    """Forget whoever has this address, as far as rows go, and keep others from adding them again.

    An address that no reader has is taken out of test mails and unmatched bounces all the same,
    and suppressed: who asks to be forgotten does not want to be on the next list.
    """
    hashed = address_hash(address, key)
    erasure = last_erasure(session, hashed)
    before = erasure.at if erasure else None
    finished = erasure is None or erasure.cleaned_at is not None
    reader = lock_reader_of(session, hashed)
    if reader is not None:
        erased = erase_reader(session, reader, method=method, now=now, spelled=str(address))
        return replace(erased, before=before)
    person = Person((str(address),))
    suppress(session, hashed, SuppressionReason.ERASURE, now=now)
    if erasure is not None:
        erasure.cleaned_at = None
    sought = person.spellings if finished else None
    found = Found(
        tests=strip_tests_to(session, hashed), bounces=strip_mentions(session, hashed, person)
    )
    return Erased(hashed, person, None, before, found, sought)


def erase_reader(
    session: Session,
    reader: Subscriber,
    *,
    method: str,
    now: datetime,
    spelled: str = "",
    noted_at: datetime | None = None,
) -> Erased:
    """Forget the reader (locked by the caller), as far as rows go.

    `spelled`: their address as it was given now. `noted_at`: when they were erased before, as a
    journal tells.
    """
    subscriber_id, hashed, key = reader.id, reader.address_hash, reader.sealed_key
    person = person_of(session, reader, spelled)
    withdrawn = withdraw(session, reader, Evidence(Method.ERASURE), now=now)
    suppress(session, hashed, SuppressionReason.ERASURE, now=now)
    found = Found(
        withdrawn=withdrawn,
        deliveries=strip_deliveries_of(session, subscriber_id),
        tests=strip_tests_to(session, hashed),
        bounces=strip_mentions(session, hashed, person),
        evidence=delete_reader(session, reader),
    )
    note_erasure(session, subscriber_id, hashed, method, at=noted_at or now)
    sought = (*person.spellings, key)
    return Erased(hashed, person, subscriber_id, None, found, sought)


def erase_again(
    session: Session,
    hashed: str,
    subscriber_id: int,
    *,
    method: str,
    at: datetime,
    now: datetime,
) -> bool:
    """Forget a reader of whom the keyed hash and the number are known, as a journal tells them.

    For a database that is older than the erasure, which was `at`. Return False where there was
    nobody to forget; doing it again changes nothing. Whoever signed up later under the same address
    has a higher number and is left alone. The sweep cleans what is outside of the rows.
    """
    if is_erased(session, subscriber_id):
        return False
    reader = lock_reader_of(session, hashed)
    there = reader is not None and reader.id <= subscriber_id
    asked = method != Method.EXPIRY  # of whom time alone forgot, the other journals tell the rest
    if reader is None and asked:
        suppress(session, hashed, SuppressionReason.ERASURE, now=now)
    elif reader is not None and there and asked:
        erase_reader(session, reader, method=method, now=now, noted_at=at)
    elif reader is not None and there:
        delete_reader(session, reader)
    if note_erasure(session, subscriber_id, hashed, method, at=at):
        strip_deliveries_of(session, subscriber_id)
        strip_tests_to(session, hashed)
    return there


def clean_up(
    sessions: Sessions, places: Places, erased: Erased, *, now: Callable[[], datetime]
) -> Cleaned:
    """Take away what the reader left outside of the rows, and say so with the erasure's row."""
    with reading(sessions) as session:
        erasure = last_erasure(session, erased.address_hash)
    return _clean(
        sessions,
        places,
        {erased.address_hash},
        [erasure] if erasure else [],
        sought=erased.sought,
        now=now,
    )


def finish_erasures(sessions: Sessions, places: Places, *, now: Callable[[], datetime]) -> None:
    """Go on with erasures whose command died, or whose mails were on their way."""
    with reading(sessions) as session:
        erasures = unfinished(session, before=now() - _LEFT_TO_THE_COMMAND)
    if not erasures:
        return
    hashes = {erasure.address_hash for erasure in erasures}
    cleaned = _clean(sessions, places, hashes, erasures, sought=None, now=now)
    if cleaned.waits:
        _log.warning("erasures not finished", number=len(erasures), reason=cleaned.waits)


def left_in(places: Places, person: Person) -> list[Path]:
    """Return the files in the home that still hold the address: copies, lists, notes of others.

    They are not ours to delete. What is compressed or encrypted is not looked into, nor is the
    database in use.
    """
    sought = person.addresses_in_bytes
    database = Path(places.engine.url.database or "").absolute()
    used = {database.with_name(database.name + end) for end in ("", "-wal", "-shm")}
    return sorted(
        path
        for path in places.home.absolute().rglob("*")
        if path.is_file() and path not in used and _holds(path, sought)
    )


def _clean(
    sessions: Sessions,
    places: Places,
    hashes: set[str],
    erasures: Sequence[Erasure],
    *,
    sought: Sequence[bytes] | None,
    now: Callable[[], datetime],
) -> Cleaned:
    with reading(sessions) as session:
        lonely = lonely_providers(session)
    with sessions.begin() as session:
        waits = {each.id for each in erasures if on_their_way(session, each.subscriber_id)}
        for each in erasures:  # what a relay has said since
            strip_deliveries_of(session, each.subscriber_id)
        forget_providers(session, lonely)
    mails = places.inbox.forget(lambda text: _hash_of(text, places.suppression_key) in hashes)
    try:
        wipe(places.engine, places.owner_url, sought)
    except Refusal as refusal:
        return Cleaned(mails, str(refusal))
    with sessions.begin() as session:
        for each in erasures:
            if each.id not in waits:
                session.get_one(Erasure, each.id).cleaned_at = now()
    if waits:
        return Cleaned(mails, "A mail to them is on its way, and the relay's word is not known.")
    return Cleaned(mails)


def _hash_of(text: str, key: bytes) -> str | None:
    try:
        return address_hash(parse_address(text), key)
    except Refusal:
        return None


def _holds(path: Path, sought: Sequence[bytes]) -> bool:
    try:
        return holds(path, sought, any_case=True)
    except OSError:
        return False  # gone, or not ours to read
