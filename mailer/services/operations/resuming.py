"""Going on with a restored database: what has happened since is told to it, as far as it is known.

The journals of the witness folder are replayed: who was erased is erased again, who was suppressed
is suppressed, who has left leaves again. What the backup believes unsent may have gone out since,
so that nothing of it goes by itself: open mails become uncertain, campaigns and digests are paused,
and an operator decides on each.

Every step can be killed and done again: the halt is ended by the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.approvals import Verdict
from mailer.domain.campaigns import CampaignState
from mailer.domain.consent import ConsentState, SubscriptionState
from mailer.domain.errors import Refusal
from mailer.services.campaigns.course import close_question, pause_campaign
from mailer.services.consent.witnessing import Look, look
from mailer.store.actions import note_action
from mailer.store.consents import Evidence, record
from mailer.store.engine import Sessions, reading
from mailer.store.halting import end_halt, halted_reason
from mailer.store.journal import Entry, Erased, Journal, Suppressed, Withdrawn, parse
from mailer.store.ledger import doubt_open
from mailer.store.models import (
    Approval,
    Campaign,
    Digest,
    Installation,
    Newsletter,
    Purpose,
    Subscription,
)
from mailer.store.readers import lock_reader_of
from mailer.store.suppressions import suppress
from mailer.store.witness import highest_ids, raise_beat, skip_ids
from mailer.store.witness_folder import Position, WitnessFolder

_MARGIN = 100
"""So many beats before the database's own is begun with: two may have been at the folder at once.
What the database knows already changes nothing."""
_CHUNK = 100
_PAUSED = (
    "restored from a backup, and what this believes unsent may have gone out since: see "
    "docs/how-to/restore.md, then resume it or not"
)
_DOUBTED = "restored from a backup: it may have gone out since"


class WrongFolder(Refusal):
    """The witness folder is another database's."""


class EraseAgain(Protocol):
    """Forgets whoever has the keyed hash, unless they signed up after the erasure."""

    def __call__(
        self,
        session: Session,
        hashed: str,
        subscriber_id: int,
        *,
        method: str,
        at: datetime,
        now: datetime,
    ) -> bool:
        """Return False where there was nobody to forget; doing it again changes nothing."""


@dataclass(slots=True)
class Resumed:
    """What was told to the database, and what is left to an operator."""

    reason: str | None  # for which it was halted; None: it was not
    erased: int = 0
    suppressed: int = 0
    withdrawn: int = 0
    unreadable: int = 0  # lines of the journals
    uncertain: int = 0  # mails
    campaigns: list[int] = field(default_factory=list)  # that are paused now
    digests: list[str] = field(default_factory=list)


def resume(
    sessions: Sessions,
    folder: WitnessFolder,
    *,
    erase_again: EraseAgain,
    operator: str,
    now: Callable[[], datetime],
    pause: Callable[[], None],
) -> Resumed:
    """Settle what can be settled, pause the rest, and end the halt; nothing without a halt.

    `pause` is called between transactions, so that readers who leave meanwhile have their turn.
    Raises WrongFolder, OSError.
    """
    with folder.alone(wait=True):
        with reading(sessions) as session:
            done = Resumed(halted_reason(session))
            found = look(session, folder)
            halted_at = session.scalar(select(Installation.halted_at)) or now()
        if done.reason is None:
            return done
        if found.is_of_another:
            raise WrongFolder(f"{found.wrong} Then `mailer db resume` again.")
        replay = _Replay(done, erase_again, now)
        for entries in _chunks(_entries(folder, found, done)):
            with sessions.begin() as session:
                for entry in entries:
                    replay.tell(session, entry)
            pause()
        doubted = -1
        while doubted:
            with sessions.begin() as session:
                doubted = doubt_open(session, _DOUBTED, before=halted_at, now=now())
            done.uncertain += doubted
            pause()
        with sessions.begin() as session:
            _pause_campaigns(session, done)
            _pause_digests(session, done)
            _close_questions(session, now())
            position = _go_on(session, found, now())
            details = {**asdict(done), "campaigns": len(done.campaigns), "digests": done.digests}
            note_action(session, operator, "db resume", now=now(), details=details)
        folder.note(position)
    return done


class _Replay:
    """Tells the database what the journals say; what it knows changes nothing."""

    def __init__(self, done: Resumed, erase_again: EraseAgain, now: Callable[[], datetime]) -> None:
        self._done = done
        self._erase_again = erase_again
        self._now = now

    def tell(self, session: Session, entry: Entry) -> None:
        """Tell one entry."""
        match entry:
            case Erased():
                self._done.erased += self._erase_again(
                    session, entry.address_hash, entry.reader,
                    method=entry.method, at=entry.at, now=self._now(),
                )  # fmt: skip
            case Suppressed():
                self._done.suppressed += self._suppress(session, entry)
            case Withdrawn():
                self._done.withdrawn += self._withdraw(session, entry)

    def _suppress(self, session: Session, entry: Suppressed) -> bool:
        """What was lifted since is not lifted again: that may be done by hand, and undone."""
        hashed, scope = entry.address_hash, entry.scope
        if entry.reason is None:
            return False
        return suppress(session, hashed, entry.reason, now=self._now(), scope=scope)

    def _withdraw(self, session: Session, entry: Withdrawn) -> bool:
        """End the consent, unless it was given after it was withdrawn."""
        reader = lock_reader_of(session, entry.address_hash)
        purpose = session.scalar(
            select(Purpose)
            .join(Newsletter)
            .where(Newsletter.slug == entry.newsletter, Purpose.slug == entry.purpose)
        )
        if reader is None or purpose is None:
            return False
        key = {"subscriber_id": reader.id, "purpose_id": purpose.id}
        subscription = session.get(Subscription, key, populate_existing=True)
        if subscription is None or subscription.since > entry.at:
            return False
        evidence = Evidence(
            entry.method,
            source=f"journal of withdrawals: event {entry.event_id}",
            stated_at=entry.at,
        )
        after: SubscriptionState | None = None
        for state in (entry.state, ConsentState.WITHDRAWN):  # refused may not follow active
            after = after or record(session, reader, purpose, state, evidence, now=self._now())
        return after is not None


def _entries(folder: WitnessFolder, found: Look, done: Resumed) -> Iterator[Entry]:
    """Yield what the journals tell that the database may not know, in the order of replay."""
    since = found.standing.beat - _MARGIN
    for journal in Journal:
        last: dict[tuple[str, str], Entry] = {}  # of an address and scope, what was said last
        for told in folder.lines(journal.value):
            entry = None if told.line is None else parse(journal, told.line)
            if entry is None:
                done.unreadable += 1
            elif told.beat < since:
                continue
            elif isinstance(entry, Suppressed):
                last[entry.address_hash, entry.scope] = entry
            else:
                yield entry
        yield from last.values()


def _chunks(entries: Iterator[Entry]) -> Iterator[Sequence[Entry]]:
    while chunk := list(islice(entries, _CHUNK)):
        yield chunk


def _pause_campaigns(session: Session, done: Resumed) -> None:
    """Pause what was under way, and say of what was paused before that it may have gone on."""
    states = (CampaignState.SCHEDULED, CampaignState.PREPARING, CampaignState.SENDING)
    going = select(Campaign).where(Campaign.state.in_([state.value for state in states]))
    for campaign in session.scalars(going.with_for_update()).all():
        pause_campaign(session, campaign, reason=_PAUSED)
    paused = select(Campaign).where(Campaign.state == CampaignState.PAUSED.value)
    for campaign in session.scalars(paused.order_by(Campaign.id).with_for_update()).all():
        if _PAUSED not in campaign.paused_reason:
            campaign.paused_reason = f"{campaign.paused_reason}; {_PAUSED}"
        done.campaigns.append(campaign.id)


def _pause_digests(session: Session, done: Resumed) -> None:
    """Which articles they have used since is not known: they would send them a second time."""
    going = update(Digest).where(~Digest.paused).values(paused=True, last_outcome=_PAUSED)
    session.execute(going)
    rows = session.execute(
        select(Newsletter.slug, Digest.slug)
        .join(Digest, Digest.newsletter_id == Newsletter.id)
        .where(Digest.paused, Digest.last_outcome == _PAUSED)
        .order_by(Digest.id)
    )
    done.digests += [f"{newsletter} {digest}" for newsletter, digest in rows]


def _close_questions(session: Session, now: datetime) -> None:
    """Let no editor's old mail send what may have gone since: it is a draft for an operator."""
    waiting = select(Campaign).join(Approval).where(Approval.decision == Verdict.OPEN.value)
    for campaign in session.scalars(waiting.with_for_update(of=Campaign)).all():
        close_question(campaign, Verdict.STOPPED, now=now)


def _go_on(session: Session, found: Look, now: datetime) -> Position:
    """End the halt; this database is the latest one now."""
    beat = found.beat + 1
    raise_beat(session, beat, now=now)
    skip_ids(session, found.position.ids if found.position else {})
    end_halt(session)
    return Position(found.standing.installation, beat, highest_ids(session))
