"""The audit trail: every act of an operator that touches people, with who, when and what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from mailer.store.models import OperatorAction


def note_action(
    session: Session,
    operator: str,
    action: str,
    *,
    now: datetime,
    subscriber_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Write the act down in the transaction that does it.

    `action` is the command's noun and verb. The details hold no address and no name: a reader is
    named by number, so that nothing has to be forgotten here.
    """
    session.add(
        OperatorAction(
            at=now,
            operator=operator,
            action=action,
            subscriber_id=subscriber_id,
            details=dict(details or {}),
        )
    )
