"""A relay dies in the middle of a campaign: the next one in order takes over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import building as b
from crash.accounts import account, environment_of, relay_at
from crash.course import open_deliveries, text_of
from processes import running, until
from sink import accepted_by, running_sink
from sqlalchemy import update

from mailer.services.delivery.relays import add_relay
from mailer.store.models import delivery
from mailer.wiring import Parts

READERS, CONNECTIONS = 300, 5


def test_a_relay_that_dies_in_the_middle_is_followed_by_the_next_and_nobody_gets_it_twice(
    parts: Parts, tmp_path: Path, figures: Callable[[dict[str, int]], None]
) -> None:
    campaign_id = b.sending_campaign(parts, READERS)
    first, second, log = tmp_path / "first", tmp_path / "second", tmp_path / "log"
    with ExitStack() as dies, running_sink(second) as spare:
        port = dies.enter_context(running_sink(first, pause=0.01))
        with parts.sessions.begin() as session:
            url = relay_at(spare, CONNECTIONS)
            add_relay(session, name="spare", url=url, sealer=parts.sealer, now=parts.now())
        environment = environment_of(parts, MAILER_SMTP_URL=relay_at(port, CONNECTIONS))
        with running(["worker", "--until-idle"], environment, log) as worker:
            until(lambda: sum(accepted_by(first).values()) > READERS / 4, "mails", every=0.01)
            dies.close()
            until(lambda: worker.poll() is not None, "the worker to end")
        until(lambda: _finished(parts, environment, log), text_of(log))
    both = tmp_path / "accepted"
    both.write_text(first.read_text("utf-8") + second.read_text("utf-8"), "utf-8")
    result = account(parts, campaign_id, both)
    figures(result.figures(crashes=1))
    result.check(exposed=CONNECTIONS)
    assert sum(accepted_by(second).values()) >= READERS / 2


def _finished(parts: Parts, environment: dict[str, str], log: Path) -> bool:
    """Let the time pass that mails wait after their relay has failed, and send them."""
    with parts.sessions.begin() as session:
        queued = delivery.c.state == "queued"
        session.execute(update(delivery).where(queued).values(next_at=parts.now()))
    with running(["worker", "--until-idle"], environment, log) as worker:
        until(lambda: worker.poll() is not None, "the worker to end")
    return open_deliveries(parts) == 0
