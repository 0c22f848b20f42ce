"""Senders that make a mistake on purpose: the tests are worth what they find of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.delivery.allotting import Allotment
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.visits import Effect, Told
from mailer.store.ledger import Gated, GateRequest, Settlement
from mailer.store.models import delivery

T = TypeVar("T")


class RecordsAfterSending(LedgerDesk):
    """No gate is asked and no row says `sending` before the relay has the content.

    A crash in between sends it twice, and who has left meanwhile gets it all the same.
    """

    async def visit(
        self,
        *settlements: Settlement,
        request: GateRequest | None = None,
        effects: tuple[Effect, ...] = (),
    ) -> Told:
        for each in settlements:
            await super().visit(request=GateRequest(each.id, each.period, each.fence))
        told = await super().visit(*settlements, effects=effects)
        return Told(told.held, Gated.OPEN if request else None)


class RecordsAtFetch(LedgerDesk):
    """What is fetched counts as sent: a crash forgets what was not sent yet."""

    async def run(self, work: Callable[[Session], T]) -> T:
        def checkpoint(session: Session) -> T:
            result = work(session)
            match result:
                case Allotment(batch=batch), _:
                    ids = [claimed.id for claimed in batch]
                case _:
                    return result
            values = {"state": DeliveryState.SENT.value, "settled_at": delivery.c.created_at}
            session.execute(delivery.update().where(delivery.c.id.in_(ids)).values(values))
            return result

        return await super().run(checkpoint)

    async def visit(
        self,
        *settlements: Settlement,
        request: GateRequest | None = None,
        effects: tuple[Effect, ...] = (),
    ) -> Told:
        return Told((True,) * len(settlements), Gated.OPEN if request else None)


MISTAKES: dict[str, type[LedgerDesk]] = {
    "records after sending": RecordsAfterSending,
    "records at fetch": RecordsAtFetch,
}
