"""I1 with a real Postfix: whatever died, its log settles all of it, and everybody gets one mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import building as b
import postfix
import pytest
from crash.accounts import environment_of, relay_at
from crash.course import sender_process, text_of
from crash.steps import CONTENT, DIED, DOT, GATE, REPLY
from processes import until
from sink import accepted_by, running_sink
from sqlalchemy import func, select

from mailer.domain import evidence
from mailer.services.delivery.reconciling import begin_inquiry, settle_findings
from mailer.store.models import Campaign, delivery
from mailer.wiring import Parts

READERS, CONNECTIONS, WITHIN = 60, 5, 60.0
MARGIN = timedelta(seconds=3)  # Postfix's log knows whole seconds


@pytest.mark.parametrize(
    "database_url", ["postgresql", pytest.param("sqlite", marks=pytest.mark.long)], indirect=True
)
@pytest.mark.skipif(postfix.missing() != "", reason=postfix.missing())
def test_the_log_of_a_real_postfix_settles_whatever_a_crash_left(
    parts: Parts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figures: Callable[[dict[str, int]], None],
) -> None:
    monkeypatch.setattr(evidence, "MARGIN", MARGIN)
    file, output = tmp_path / "accepted", tmp_path / "log"
    with running_sink(file) as sink, postfix.running_postfix(sink) as relay:
        _wait_past(parts, parts.now())
        campaign_id = b.sending_campaign(parts, READERS)
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(relay.port, CONNECTIONS))
        for step in (GATE, CONTENT, DOT, REPLY):
            with sender_process(environment, output, dies_at=step, time=8) as sender:
                assert sender.wait(timeout=WITHIN) == DIED, text_of(output)
        _to_the_end(environment, output)
        doubtful = list(b.states(parts).values()).count("uncertain")
        assert doubtful >= 4

        with parts.sessions() as session:
            ended = session.scalar(select(func.max(delivery.c.settled_at)))
            assert ended
        _wait_past(parts, ended)
        relay.speak()
        sent, requeued = _reconcile(parts, campaign_id, relay)
        assert sent + requeued == doubtful
        assert sent >= 2, "of the dot and of the reply"
        assert requeued >= 2, "of the gate and of the content"
        _to_the_end(environment, output)
        until(lambda: len(accepted_by(file)) == READERS, "Postfix to deliver the last mails")
    figures({"mails": READERS, "uncertain": doubtful, "had arrived": sent, "had not": requeued})
    assert set(b.states(parts).values()) == {"sent"}
    assert set(Counter(accepted_by(file)).values()) == {1}, "nobody twice"


def _reconcile(parts: Parts, campaign_id: int, relay: postfix.Postfix) -> tuple[int, int]:
    with parts.sessions() as session:
        inquiry = begin_inquiry(
            session, session.get_one(Campaign, campaign_id), identity=parts.identity, zone=None,
            resend_missing=True, now=parts.now(),
        )  # fmt: skip
    inquiry.read(relay.log.read_bytes().splitlines(), "mail.log")
    findings = inquiry.findings()
    assert all(finding.said for _, finding in findings), findings
    with parts.sessions.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        return settle_findings(session, campaign, findings, resend_missing=True, now=parts.now())


def _to_the_end(environment: dict[str, str], output: Path) -> None:
    with sender_process(environment, output, ends=1) as sender:
        assert sender.wait(timeout=WITHIN) == 0, text_of(output)


def _wait_past(parts: Parts, moment: datetime) -> None:
    """Wait until the log covers this moment with its margin."""
    until(lambda: parts.now() > moment + MARGIN + timedelta(seconds=1), "the time to pass")
