"""A sender process for the crash tests: short leases, so that a crash is repaired in seconds.

`--wrong` plays the mistake that the tests must find: it hands over first and records afterwards,
with nothing written in between.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta

from sqlalchemy import update

from mailer.domain.relays import parse_relay_url
from mailer.services.composing import Composer
from mailer.services.ledger_desk import Effect, LedgerDesk, Told
from mailer.services.sending import Pace, Sender
from mailer.store.ledger import Gated, GateRequest, Settlement, recover_abandoned
from mailer.store.models import RelayState, delivery
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts, open_parts

LEASE = timedelta(seconds=2)
GRACE = timedelta(seconds=1)


class OpensEveryGate(LedgerDesk):
    """The mistake: no row says `sending` before the relay has the content."""

    async def visit(
        self,
        *settlements: Settlement,
        request: GateRequest | None = None,
        effects: tuple[Effect, ...] = (),
    ) -> Told:
        told = await super().visit(*settlements, effects=effects)
        return Told(told.held, Gated.OPEN if request else None)


def run(parts: Parts, *, wrong: bool) -> None:
    """Send until killed; put right what the one before left, and do not wait for retries."""
    assert parts.settings.smtp_url
    config = parse_relay_url(parts.settings.smtp_url)
    sender = Sender(
        parts.engine,
        parts.sessions,
        SmtpTransport(config, hello="crash.test"),
        Composer(parts.links, parts.identity, parts.dkim),
        worker="crash",
        now=parts.now,
        jitter=lambda: 0.0,
        pace=Pace(connections=5, lease=LEASE, look_again=timedelta(milliseconds=100)),
        desk=OpensEveryGate if wrong else LedgerDesk,
    )
    sender.start()
    while True:
        time.sleep(0.3)
        with parts.sessions.begin() as session:
            recover_abandoned(session, grace=GRACE)
            waits = (delivery.c.state == "queued", delivery.c.next_at > parts.now())
            session.execute(update(delivery).where(*waits).values(next_at=parts.now()))
            session.execute(update(RelayState).values(back_off_until=None))


if __name__ == "__main__":
    run(open_parts(), wrong="--wrong" in sys.argv)
