"""Query plans: what is asked all the time must not walk over what is done, or what must wait.

150,000 deliveries stand beside a campaign of three, most of them finished, some waiting in a
campaign that is not being sent; no statement of the daily work may scan them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import building as b
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.orm import Session

from mailer.domain.deliveries import DeliveryState
from mailer.services.campaigns.reports import deliveries
from mailer.services.consent.signup import _confirmations_since
from mailer.store import hot
from mailer.store.ledger import (
    GateRequest,
    Settlement,
    claim,
    close_campaign,
    close_for_address,
    close_for_addresses,
    close_for_purpose,
    close_questions,
    counts,
    exchange,
    expire_overdue,
    find_abandoned,
    hand_back,
    has_open,
    has_untried,
    let_go,
    put_off,
    recover_abandoned,
    sample_outcome,
    sources,
)
from mailer.store.models import Campaign
from mailer.wiring import Parts

DONE = 150_000
COLUMNS = (
    "period, campaign_id, subscriber_id, newsletter_id, next_at, created_at, expires_at, "
    "settled_at, lane, kind, state, provider"
)
SERIES = {
    "sqlite": f"(WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < {DONE}) "
    "SELECT n FROM g)",
    "postgresql": f"generate_series(1, {DONE}) n",
}


@pytest.fixture
def campaign(parts: Parts) -> int:
    campaign_id = b.sending_campaign(parts, 3)
    dialect = parts.engine.dialect.name
    past = {"sqlite": "'2026-01-01 00:00:00.000'", "postgresql": "timestamptz '2026-01-01'"}[
        dialect
    ]
    with parts.sessions.begin() as session:
        session.execute(
            text(
                f"INSERT INTO delivery ({COLUMNS}) SELECT 202601 + n % 10, 1000 + n % 200, n, 1, "
                f"{past}, {past}, {past}, CASE WHEN n % 10 > 0 THEN {past} END, 2, 'campaign', "
                f"CASE WHEN n % 10 > 0 THEN 'sent' ELSE 'queued' END, 'x' FROM {SERIES[dialect]}"
            )
        )
    with parts.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return campaign_id


@contextmanager
def explained(parts: Parts) -> Iterator[list[str]]:
    """Collect the plans of all statements over deliveries, one line a step."""
    found: list[str] = []
    sqlite = parts.engine.dialect.name == "sqlite"
    command = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"

    def explain(connection: Connection, statement: str, parameters: Any) -> None:
        cursor = connection.connection.cursor()
        cursor.execute(f"{command} {statement}", parameters)
        found.extend(str(row[3] if sqlite else row[0]) for row in cursor.fetchall())

    def before(connection: Connection, _: Any, statement: str, parameters: Any, *__: Any) -> None:
        if "delivery" in statement:
            explain(connection, statement, parameters)

    def explained_run(connection: Connection, build: hot.Build, **parameters: Any) -> list[Any]:
        sql, fixed, order = hot._compiled(build, connection.dialect)
        values = {**fixed, **parameters}
        explain(connection, sql, [values[name] for name in order] if order else values)
        return hot.run(connection, build, **parameters)

    event.listen(parts.engine, "before_cursor_execute", before)
    patched = pytest.MonkeyPatch()
    module = sys.modules["mailer.store.ledger.exchange"]  # the package names its function so too
    patched.setattr(module, "run", explained_run)
    try:
        yield found
    finally:
        patched.undo()
        event.remove(parts.engine, "before_cursor_execute", before)


WORK: dict[str, Callable[[Session, Campaign], object]] = {
    "claim": lambda session, _: claim(
        session.connection(), worker="w", limit=200, lease=timedelta(minutes=1)
    ),
    "claim around providers": lambda session, _: claim(
        session.connection(),
        worker="w",
        limit=200,
        lease=timedelta(minutes=1),
        blocked=["busy.test"],
    ),
    "put off": lambda session, _: [
        put_off(session.connection(), source, {"busy.test": 60.0}, limit=100)
        for source in sources(session.connection())
    ],
    "let go": lambda session, campaign: [
        let_go(session.connection(), campaign_id, "busy.test", limit=100)
        for campaign_id in (None, campaign.id)
    ],
    "exchange": lambda session, campaign: exchange(
        session.connection(),
        [Settlement(1, campaign.period, 0, DeliveryState.FAILED, "r", "rcpt", "no")],
        [GateRequest(2, campaign.period, 0)],
        lease=timedelta(minutes=1),
    ),
    "hand back": lambda session, _: hand_back(
        session.connection(),
        claim(session.connection(), worker="w", limit=200, lease=timedelta(minutes=1)),
    ),
    "find abandoned": lambda session, _: find_abandoned(session, grace=timedelta(minutes=15)),
    "recover": lambda session, _: recover_abandoned(
        session, [(202601, 1)], grace=timedelta(minutes=15)
    ),
    "expire": lambda session, _: expire_overdue(session),
    "has open": has_open,
    "has untried": has_untried,
    "sample's outcome": sample_outcome,
    "counts": counts,
    "close campaign": lambda session, campaign: close_campaign(
        session, campaign, DeliveryState.CANCELLED, now=b.NOW
    ),
    "withdraw": lambda session, _: close_for_purpose(session, 1, [1], now=b.NOW),
    "renew": lambda session, _: close_questions(session, 1, 1, now=b.NOW),
    "suppress": lambda session, _: close_for_address(
        session, "hash", 1, DeliveryState.SUPPRESSED, now=b.NOW
    ),
    "suppress many": lambda session, _: close_for_addresses(
        session, {"hash", "another"}, {1, 2}, DeliveryState.SUPPRESSED, now=b.NOW
    ),
    "confirmations of today": lambda session, _: _confirmations_since(session, 1, 1, b.NOW),
    "retry": lambda session, campaign: b.decide(session, campaign, "retry", b.NOW),
    "deliveries": lambda session, campaign: deliveries(session, campaign, message_id_of=str),
}


def test_no_statement_of_the_daily_work_walks_over_what_is_done(
    parts: Parts, campaign: int
) -> None:
    scans = re.compile(
        r"SCAN delivery(?! USING)|Seq Scan on delivery|subscription USING .*\(newsletter_id=\?\)"
    )
    for name, work in WORK.items():
        with parts.sessions() as session, explained(parts) as plans:
            work(session, session.get_one(Campaign, campaign))
            session.rollback()
        assert plans, name
        assert [step for step in plans if scans.search(step)] == [], name


def test_a_claim_reads_the_index_over_open_deliveries(parts: Parts, campaign: int) -> None:
    with parts.sessions() as session, explained(parts) as plans:
        claim(session.connection(), worker="w", limit=2, lease=timedelta(minutes=1))
        session.rollback()
    index = {"sqlite": "ix_delivery_open_due", "postgresql": "campaign_id_next_at_idx"}
    assert any(index[parts.engine.dialect.name] in step for step in plans), "\n".join(plans)
    assert campaign


def test_the_gate_finds_consent_and_its_end_by_key_and_on_postgresql_in_the_index_alone(
    parts: Parts, campaign: int
) -> None:
    requests = [GateRequest(1, 202601, 0)]
    with parts.sessions() as session, explained(parts) as plans:
        if parts.engine.dialect.name == "postgresql":
            session.execute(text("SET LOCAL enable_seqscan = off"))  # the tables are small here
        exchange(session.connection(), [], requests, lease=timedelta(minutes=1))
        session.rollback()
    only = {
        "sqlite": "subscription USING INDEX sqlite_autoindex_subscription_1 (subscriber_id=? AND",
        "postgresql": "Index Only Scan using ix_subscription_active",
    }
    assert any(only[parts.engine.dialect.name] in step for step in plans), "\n".join(plans)
    assert campaign
