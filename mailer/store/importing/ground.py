"""Who of a list is known already, where they stand, and who must not be mailed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ARRAY, BigInteger, ColumnElement, Text, any_, bindparam, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mailer.domain.consent import SubscriptionState
from mailer.domain.suppression import SCOPE_ALL
from mailer.store.models import Subscriber, Subscription, Suppression


@dataclass(slots=True)
class Known:
    """A reader who is there already, and the subscription for each of the purposes."""

    reader: Subscriber
    subscriptions: list[Subscription | None]

    @property
    def states(self) -> list[SubscriptionState | None]:
        """Where the reader stands with each purpose."""
        return [SubscriptionState(each.state) if each else None for each in self.subscriptions]


@dataclass(slots=True)
class Ground:
    """What the database says of some addresses, by their hashes."""

    suppressed: set[str]
    known: dict[str, Known] = field(default_factory=dict)


def look_up(
    session: Session,
    hashes: Sequence[str],
    newsletter: str,
    purpose_ids: Sequence[int],
    *,
    lock: bool,
) -> Ground:
    """Return who is known of these addresses; with `lock`, nobody else changes them meanwhile.

    They are locked in the order of their ids, so that two who do so never wait for each other.
    """
    readers = select(Subscriber).where(_among(session, Subscriber.address_hash, Text()))
    if lock:
        readers = readers.order_by(Subscriber.id).with_for_update()
    found = session.scalars(readers, {"among": _listed(session, hashes)}).all()
    ground = Ground(suppressed_of(session, hashes, newsletter))
    if found:
        places = {purpose_id: place for place, purpose_id in enumerate(purpose_ids)}
        by_id = {reader.id: Known(reader, [None] * len(places)) for reader in found}
        ground.known = {known.reader.address_hash: known for known in by_id.values()}
        standing = select(Subscription).where(
            _among(session, Subscription.subscriber_id, BigInteger()),
            Subscription.purpose_id.in_(purpose_ids),
        )
        for each in session.scalars(standing, {"among": _listed(session, list(by_id))}):
            by_id[each.subscriber_id].subscriptions[places[each.purpose_id]] = each
    return ground


def suppressed_of(session: Session, hashes: Sequence[str], newsletter: str) -> set[str]:
    """Return which of these addresses must not be mailed (by this newsletter)."""
    statement = select(Suppression.address_hash).where(
        _among(session, Suppression.address_hash, Text()),
        Suppression.scope.in_((SCOPE_ALL, newsletter)),
    )
    return set(session.scalars(statement, {"among": _listed(session, hashes)}))


def _among(
    session: Session, column: InstrumentedAttribute[Any], kind: Text | BigInteger
) -> ColumnElement[bool]:
    """Return that the column is one of many values, which are one text: a list costs more."""
    listed = bindparam("among", type_=Text())
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(select(func.json_each(listed).table_valued("value").c.value))
    return column == any_(cast(func.string_to_array(listed, ","), ARRAY(kind)))


def _listed(session: Session, values: Sequence[Any]) -> str:
    if session.get_bind().dialect.name == "sqlite":
        return json.dumps(values)
    return ",".join(map(str, values))
