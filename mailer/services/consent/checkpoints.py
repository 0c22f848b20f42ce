"""Signing how long the consent log is: every day, and when it is asked for.

Nothing is signed that contradicts what was signed before. The newest checkpoints, that of the
database and that of the witness folder, must be ours, and the log must still lead to their roots.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import structlog
from sqlalchemy.orm import Session

from mailer.domain.checkpoints import (
    BadCheckpoint,
    Checkpoint,
    PublicKey,
    SigningKey,
    read_checkpoint,
    verify_checkpoint,
)
from mailer.domain.errors import Refusal
from mailer.services.consent.log import sequence_leaves
from mailer.store.engine import Sessions, reading
from mailer.store.halting import refuse_while_halted
from mailer.store.log import (
    CheckpointFolder,
    LogTree,
    hold_log,
    keep_checkpoint,
    log_size,
    newest_checkpoint,
    signed_names,
    time_of_leaf,
)

_log = structlog.get_logger()

EVERY = timedelta(days=1)
_ORIGIN = re.compile(
    r"(?P<host>[^/]+)/consent-log/(?P<installation>[0-9a-f]{16})(?:\.(?P<era>[1-9][0-9]{0,5}))?"
)
_INSTALLATION = b"mailer: installation"


class LogContradicted(Refusal):
    """The log is not the one that was signed before."""


class ForeignCheckpoint(Refusal):
    """What lies where our checkpoints should lie is not ours, or was changed."""


class NothingSigned(Refusal):
    """Nothing may be signed now."""


@dataclass(frozen=True)
class Notary:
    """Who signs: keys of which the first signs and each is believed, and a name for the log.

    The installation's part of the name comes from the one key that is never rotated.
    """

    host: str
    keys: Sequence[SigningKey]
    suppression_key: bytes
    folder: CheckpointFolder

    @cached_property
    def installation(self) -> str:
        """What tells this installation from all others, and says nothing else."""
        return hmac.digest(self.suppression_key, _INSTALLATION, "sha256")[:8].hex()

    def origin(self, era: int = 1) -> str:
        """Return the name of the log; a log that was begun anew has another one."""
        return f"{self.host}/consent-log/{self.installation}" + (f".{era}" if era > 1 else "")

    def era(self, origin: str) -> int | None:
        """Return which of our logs has this name, 1 for the first; None if it is not ours."""
        found = _ORIGIN.fullmatch(origin)
        if found is None or found["installation"] != self.installation:
            return None
        return int(found["era"] or 1)

    def public_keys(self, origin: str) -> list[PublicKey]:
        """Return what verifies the checkpoints of the log with this name, the newest key first."""
        return [key.public(origin) for key in self.keys]


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint, the note that says so, and what verifies it."""

    checkpoint: Checkpoint
    note: str
    key: PublicKey


@dataclass(frozen=True, slots=True)
class _Kept:
    """A checkpoint that was signed before, and where it was found."""

    signed: Signed
    era: int
    place: str

    @property
    def age(self) -> tuple[int, int]:
        return self.era, self.signed.checkpoint.size


def sign_checkpoint(sessions: Sessions, notary: Notary, *, now: datetime) -> Signed:
    """Sign how long the log is now, and keep it in the database and in the witness folder.

    Of a log that has not grown the checkpoint that stands is returned. Raises LogContradicted,
    ForeignCheckpoint, LogDamaged, CannotWitness or NothingSigned.
    """
    sequence_leaves(sessions)
    with sessions.begin() as session:
        hold_log(session)
        refuse_while_halted(session)
        tree = LogTree(session, log_size(session))
        kept = _kept(session, notary)
        for each in kept:
            _refuse_contradiction(tree, each)
        newest = max(kept, key=lambda each: each.age, default=None)
        if newest is not None:  # whoever signed it may have died before it stood in the database
            keep_checkpoint(session, newest.signed.checkpoint, newest.signed.note, now=now)
        if newest is not None and newest.signed.checkpoint.size == tree.size:
            signed, era = newest.signed, newest.era
        else:
            era = newest.era if newest else 1
            origin = newest.signed.checkpoint.origin if newest else notary.origin()
            signed = _sign(notary, Checkpoint(origin, tree.size, tree.root()))
        _keep(session, notary, signed, era, now)
    return signed


def begin_anew(sessions: Sessions, notary: Notary, *, now: datetime) -> Signed:
    """Sign the log as it is under a new name, where part of what was signed is lost for good.

    Whoever holds an older checkpoint sees from the name that this is not the same log any more.
    Raises NothingSigned where nothing is lost.
    """
    sequence_leaves(sessions)
    with sessions.begin() as session:
        hold_log(session)
        refuse_while_halted(session)
        tree = LogTree(session, log_size(session))
        kept = _kept(session, notary)
        if all(_contradiction(tree, each) is None for each in kept):
            raise NothingSigned(
                "The log is all that was signed: there is nothing to begin anew. "
                "`mailer consent checkpoint` signs it."
            )
        era = max(each.era for each in kept) + 1
        signed = _sign(notary, Checkpoint(notary.origin(era), tree.size, tree.root()))
        _keep(session, notary, signed, era, now)
    return signed


def latest_signed(session: Session, notary: Notary) -> Signed | None:
    """Return the newest checkpoint of the database; raises ForeignCheckpoint."""
    row = newest_checkpoint(session)
    return _believed(notary, row.note, "the database").signed if row else None


def log_names(session: Session, notary: Notary) -> list[str]:
    """Return the origins under which the log was signed, the newest first, or the one to come.

    A log that was begun anew has several, and what was signed under an older one is to be verified.
    """
    return signed_names(session) or [notary.origin()]


def not_signed(session: Session, notary: Notary, *, now: datetime) -> str | None:
    """Return in one sentence why nothing is signed though it should be; None while all is well."""
    try:
        tree = LogTree(session, log_size(session))
        for each in _kept(session, notary):
            _refuse_contradiction(tree, each)
    except Refusal as refusal:
        return str(refusal)
    newest = newest_checkpoint(session)
    since = time_of_leaf(session, newest.size if newest else 0)
    if since is None or now - since < 2 * EVERY:
        return None
    return (
        f"No checkpoint covers what readers have said since {since:%Y-%m-%d %H:%M} UTC: run "
        "`mailer consent checkpoint`, and see that a worker runs."
    )


def sign_daily(sessions: Sessions, notary: Notary, *, now: Callable[[], datetime]) -> None:
    """Sign where a day has passed and the log is not what it was; what is wrong is logged."""
    try:
        sequence_leaves(sessions, wait=False)
        if _due(sessions, now()):
            signed = sign_checkpoint(sessions, notary, now=now())
            _log.info("checkpoint signed", size=signed.checkpoint.size)
    except Refusal as refusal:
        _log.error("checkpoint refused", reason=str(refusal))
    except Exception:
        _log.exception("step failed", step="sign checkpoint")


def _due(sessions: Sessions, now: datetime) -> bool:
    with reading(sessions) as session:
        size, newest = log_size(session), newest_checkpoint(session)
    if newest is None:
        return size > 0
    # A time that lies ahead is that of a clock which was wrong: nothing would be signed until then.
    return newest.size != size and not timedelta() <= now - newest.at < EVERY


def _kept(session: Session, notary: Notary) -> list[_Kept]:
    """Return the newest checkpoints of the database and of the folder, all of them believed."""
    row = newest_checkpoint(session)
    kept = [_believed(notary, row.note, "the database")] if row else []
    kept += [_believed(notary, note, str(path)) for path, note in notary.folder.newest()]
    newest_era = max((each.era for each in kept), default=1)
    return [each for each in kept if each.era == newest_era]


def _believed(notary: Notary, note: str, place: str) -> _Kept:
    try:
        origin = read_checkpoint(note).origin
        era = notary.era(origin)
        if era is None:
            raise ForeignCheckpoint(
                f"The checkpoint in {place} is of another installation: its origin is {origin}, "
                f"and ours is {notary.origin()}. Give each installation a MAILER_WITNESS_DIR of "
                "its own, and take that checkpoint away."
            )
        checkpoint, key = verify_checkpoint(note, notary.public_keys(origin))
    except BadCheckpoint as bad:
        raise ForeignCheckpoint(
            f"Nothing is signed: what lies in {place} is not believed. {bad} {_ADVICE[bad.step]}"
        ) from None
    return _Kept(Signed(checkpoint, note, key), era, place)


_CHANGED = "Find out who changed it, and put the true one back from a copy."
_ADVICE = {
    "checkpoint": _CHANGED,
    "signature": _CHANGED,
    "key": "If MAILER_LOG_KEY was rotated, add the older key behind the new one, after a comma.",
}


def _refuse_contradiction(tree: LogTree, kept: _Kept) -> None:
    found = _contradiction(tree, kept)
    if found is not None:
        raise LogContradicted(
            f"Nothing is signed: {found} Put a newer backup back. If what is missing is lost for "
            "good, `mailer consent checkpoint --begin-anew` says so to everybody."
        )


def _contradiction(tree: LogTree, kept: _Kept) -> str | None:
    """Return in what the log differs from what was signed; None if it begins with just that."""
    signed = kept.signed.checkpoint
    if signed.size > tree.size:
        return (
            f"the consent log has {tree.size} leaves, and the checkpoint in {kept.place} was "
            f"signed over {signed.size}: the log was cut, or an old backup was restored."
        )
    if tree.root(signed.size) != signed.root:
        return (
            f"the first {signed.size} leaves of the consent log are not those that the checkpoint "
            f"in {kept.place} was signed over: the log was rewritten, or cut and made longer again."
        )
    return None


def _sign(notary: Notary, checkpoint: Checkpoint) -> Signed:
    key = notary.keys[0]
    return Signed(checkpoint, key.sign(checkpoint), key.public(checkpoint.origin))


def _keep(session: Session, notary: Notary, signed: Signed, era: int, now: datetime) -> None:
    """Keep it outside first: what only the folder knows is taken from there the next time."""
    notary.folder.keep(era, signed.checkpoint.size, signed.note)
    keep_checkpoint(session, signed.checkpoint, signed.note, now=now)
