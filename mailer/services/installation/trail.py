"""The audit trail, written where nothing is changed, and read.

An act is noted in the transaction that does it (`store/actions.py`). Looking has no such
transaction: it is noted in one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.orm import Session

from mailer.domain.acts import VERBS, Touch
from mailer.store.actions import note_action
from mailer.store.engine import Sessions, writing_soon
from mailer.store.models import OperatorAction, Subscriber

_PATIENCE = 1.0
"""Seconds that a look waits for SQLite's writers, before it goes without a line in the trail."""


def note_look(
    sessions: Sessions,
    operator: str,
    action: str,
    *,
    now: datetime,
    subscriber_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> str | None:
    """Note that an operator looked at people; return why that could not be done, or None.

    Nobody must be kept from answering a reader because the database can only be read, or because
    somebody else writes for long.
    """
    try:
        with writing_soon(sessions, _PATIENCE) as session:
            note_action(
                session, operator, action, now=now, subscriber_id=subscriber_id, details=details
            )
    except (OperationalError, InternalError) as error:
        return str(error.orig).strip().splitlines()[0]
    return None


def audit_trail(
    session: Session,
    *,
    most: int,
    before: int | None = None,
    since: datetime | None = None,
    subscriber_id: int | None = None,
    hashed: str | None = None,
) -> list[dict[str, Any]]:
    """Return what operators did, newest first; of one reader, by number or by keyed hash."""
    statement = (
        select(OperatorAction, Subscriber.email)
        .outerjoin(Subscriber, Subscriber.id == OperatorAction.subscriber_id)
        .order_by(OperatorAction.id.desc())
        .limit(most)
    )
    if before is not None:
        statement = statement.where(OperatorAction.id < before)
    if since is not None:
        statement = statement.where(OperatorAction.at >= since)
    concerns = [OperatorAction.subscriber_id == subscriber_id] if subscriber_id is not None else []
    if hashed is not None:
        concerns.append(OperatorAction.details["address_hash"].as_string() == hashed)
    if concerns:
        statement = statement.where(or_(*concerns))
    return [
        {
            "id": action.id,
            "at": action.at,
            "operator": action.operator,
            "action": action.action,
            "subscriber_id": action.subscriber_id,
            "email": email,
            "details": dict(action.details),
        }
        for action, email in session.execute(statement)
    ]


def acts_on(session: Session, subscriber_id: int) -> list[OperatorAction]:
    """Return what operators did to one reader, oldest first, without the looks."""
    looks = [verb for verb, touch in VERBS.items() if touch is Touch.LOOKS]
    return list(
        session.scalars(
            select(OperatorAction)
            .where(
                OperatorAction.subscriber_id == subscriber_id, OperatorAction.action.not_in(looks)
            )
            .order_by(OperatorAction.id)
        )
    )
