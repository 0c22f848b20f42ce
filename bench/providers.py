"""How much one receiving provider that turns us away for ever slows down the others.

A quarter of the readers are at a provider that answers 421 to every recipient, behind a direct
relay; beside it, in the same round, the same campaign to the other three quarters alone.

    python -m bench.providers --messages 20000
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from sqlalchemy import delete, func, select, text

from bench import content
from bench.running import CannotMeasure, send_all, verifying
from mailer.store.models import RelayState, delivery
from mailer.wiring import Parts

_BUSY = "busy.example"
_BUSY_READERS = "SELECT id FROM subscriber WHERE id % 4 = 0"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the ratio of every round and their median."""
    parser = argparse.ArgumentParser(
        prog="bench.providers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument(
        "--pause", type=float, default=0.02, help="seconds before a mail is answered"
    )
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
    try:
        url = f"sqlite:///{folder / 'mailer.db'}"
        parts = content.install(
            content.settings(folder, url, 25, options.connections), options.messages
        )
        _move_a_quarter(parts)
        print("speed of the other providers, × the same without the one that turns us away")
        ratios = [_round(parts, options) for _ in range(options.rounds)]
        print(f"median {statistics.median(ratios):.3f}")
        parts.engine.dispose()
    finally:
        shutil.rmtree(folder)


def _round(parts: Parts, options: argparse.Namespace) -> float:
    alone = _run(parts, options, with_busy=False)
    beside = _run(parts, options, with_busy=True)
    print(f"  {alone / beside:.3f}   ({alone:.2f} s alone, {beside:.2f} s beside it)")
    return alone / beside


def _run(parts: Parts, options: argparse.Namespace, *, with_busy: bool) -> float:
    """Return the seconds until everybody but the busy provider's readers has the mail."""
    state = "active" if with_busy else "withdrawn"
    with parts.sessions.begin() as session:
        session.execute(delete(RelayState))
        session.execute(
            text(
                f"UPDATE subscription SET state = :state WHERE subscriber_id IN ({_BUSY_READERS})"
            ),
            {"state": state},
        )
    campaign_id = content.start(parts)
    with verifying(parts, pause=options.pause, turned_away=_BUSY) as sink:
        limits = f"connections={options.connections}&provider_connections={options.connections}"
        relay = f"smtp://127.0.0.1:{sink.port}?tls=none&kind=direct&{limits}"
        cost = send_all(parts, more={"MAILER_SMTP_URL": relay})
    _check(parts, campaign_id, options.messages * 3 // 4)
    return cost.seconds


def _check(parts: Parts, campaign_id: int, expected: int) -> None:
    with parts.sessions.begin() as session:
        mine = delivery.c.campaign_id == campaign_id
        sent = session.scalar(select(func.count()).where(mine, delivery.c.state == "sent"))
        session.execute(text("UPDATE campaign SET state = 'finished'"))
    if sent != expected:
        raise CannotMeasure(f"{sent} mails were sent instead of {expected}.")


def _move_a_quarter(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        session.execute(
            text(
                "UPDATE subscriber SET provider = :busy, email = 'reader' || id || '@' || :busy "
                f"WHERE id IN ({_BUSY_READERS})"
            ),
            {"busy": _BUSY},
        )


if __name__ == "__main__":
    main()
