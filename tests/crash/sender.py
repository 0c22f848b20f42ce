"""A sender process for the crash tests: short leases, so that a crash is repaired in seconds.

It puts right what the one before left, and waits for no retry. By order it dies at a numbered step
of docs/crash-table.md (`crash/steps.py`), or makes a mistake that the tests must find
(`crash/wrong.py`).
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, fields, replace
from datetime import timedelta

from sqlalchemy import func, select, update
from sqlalchemy.exc import SQLAlchemyError
from steps import Death, MortalTransport, mortal_desk
from wrong import MISTAKES

from mailer.domain.deliveries import OPEN
from mailer.domain.relays import parse_relay_url
from mailer.services.delivery.ledger_desk import LedgerDesk
from mailer.services.delivery.sending import Access, Pace, Sender
from mailer.services.mails.composing import Composer
from mailer.store.ledger import find_abandoned, recover_abandoned
from mailer.store.models import RelayState, delivery
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts, open_parts


@dataclass(frozen=True)
class Order:
    """How one process is to live; times in seconds."""

    connections: int = 5
    lease: float = 2.0
    grace: float = 1.0
    rest: float = 0.3
    """Between two looks at what was left behind."""
    wrong: str = ""
    """One of the MISTAKES."""
    dies_at: int = 0
    """A step of docs/crash-table.md, the `time`-th time that it is reached."""
    time: int = 1
    ends: bool = False
    """Whether to end when nothing is open any more."""


def live(parts: Parts, order: Order) -> None:
    """Send until killed, dead by order, or done."""
    sender = _sender(parts, order)
    sender.start()
    while not (_tidy(parts, timedelta(seconds=order.grace)) and order.ends):
        time.sleep(order.rest)
    sender.stop()


def _sender(parts: Parts, order: Order) -> Sender:
    assert parts.settings.smtp_url
    config = replace(parse_relay_url(parts.settings.smtp_url), connections=order.connections)
    desk = MISTAKES[order.wrong] if order.wrong else LedgerDesk
    transport = SmtpTransport(config, hello="crash.test")
    if order.dies_at:
        death = Death(order.dies_at, order.time)
        transport, desk = MortalTransport(config, death), mortal_desk(death, desk)
    return Sender(
        parts.engine,
        parts.sessions,
        lambda _: Access(transport, config),
        Composer(parts.links, parts.identity, parts.dkim),
        worker="crash",
        now=parts.now,
        jitter=lambda: 0.0,
        pace=Pace(
            lease=timedelta(seconds=order.lease),
            gate_to_body=timedelta(seconds=order.lease / 2),
            look_again=timedelta(milliseconds=50),
        ),
        desk=desk,
    )


def _tidy(parts: Parts, grace: timedelta) -> bool:
    """Do the sweep's work and make retries due; say whether nothing is open any more."""
    try:
        with parts.sessions.begin() as session:
            recover_abandoned(session, find_abandoned(session, grace=grace), grace=grace)
            waits = (delivery.c.state == "queued", delivery.c.next_at > parts.now())
            session.execute(update(delivery).where(*waits).values(next_at=parts.now()))
            session.execute(update(RelayState).values(back_off_until=None))
            left = select(func.count()).where(delivery.c.state.in_([each.value for each in OPEN]))
            return session.scalar(left) == 0
    except SQLAlchemyError:
        return False  # the database is away; the next look may find it


def _order() -> Order:
    parser = argparse.ArgumentParser()
    for field in fields(Order):
        kind = type(field.default)
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    return Order(**vars(parser.parse_args()))


if __name__ == "__main__":
    live(open_parts(), _order())
