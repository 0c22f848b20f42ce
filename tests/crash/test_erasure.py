"""A reader is erased at every step of a delivery: nothing begins after it, and nobody stumbles.

With one connection the order is exact. Whoever is before the gate when the erasure is committed is
`withdrawn`; whoever is past it has had the mail, and what the relay said about them is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import building as b
import pytest
from processes import until
from sink import Sink, accepted_by, noted, sink_in_a_thread
from sqlalchemy import select
from structlog.testing import capture_logs

from mailer.domain.addresses import parse_address
from mailer.domain.relays import RelayConfig, Security
from mailer.services.delivery.sending import Access
from mailer.services.mails.composing import Composer, Outgoing, Prepared
from mailer.services.privacy.erasing import Cleaned, Erased, clean_up, erase
from mailer.store.models import attempt, delivery
from mailer.transports.smtp import SmtpTransport
from mailer.wiring import Parts

READERS = 6
DECLINED = "550 5.1.1 <reader2@readers.test> there is no reader2 here"

# The step at which the third reader is erased → what becomes of the mail. The first two steps come
# once, before anybody's mail; the others a third time for the third.
STEPS = {
    "compose": "withdrawn",
    "CONNECT": "withdrawn",
    "EHLO": "withdrawn",
    "MAIL": "withdrawn",
    "RCPT": "withdrawn",
    "DATA": "withdrawn",
    "DOT": "sent",
    "declined": "failed",
}


class Eraser:
    """Erases the third reader when a step is reached for the third time, and then looks on."""

    def __init__(self, parts: Parts, step: str) -> None:
        self._parts = parts
        self._step = "DOT" if step == "declined" else step
        self._answer = DECLINED if step == "declined" else None
        self._left = 1 if step in ("CONNECT", "EHLO") else 3
        self.erased: Erased | None = None

    def reached(self, step: str, _line: str = "") -> str | None:
        """Erase if it is time; as a relay's trouble, perhaps decline."""
        self._left -= step == self._step
        if step != self._step or self._left or self.erased is not None:
            return None
        with self._parts.sessions.begin() as session:
            self.erased = erase(
                session, parse_address("reader2@readers.test"), method="cli",
                key=self._parts.suppression_key, now=self._parts.now(),
            )  # fmt: skip
        return self._answer

    def clean(self) -> Cleaned:
        """Do what the command does behind its transaction."""
        assert self.erased
        return clean_up(self._parts.sessions, self._parts.places, self.erased, now=self._parts.now)


class WatchedComposer(Composer):
    """Tells when a mail is composed."""

    told: Callable[[str], object]

    def compose(self, prepared: Prepared, **more: object) -> Outgoing:
        """Tell, and compose."""
        self.told("compose")
        return super().compose(prepared, **more)


def _rows(parts: Parts) -> dict[int, str]:
    with parts.sessions() as session:
        return dict(session.execute(select(delivery.c.subscriber_id, delivery.c.state)).all())


@pytest.mark.parametrize("step", STEPS)
def test_who_is_erased_at_a_step_gets_nothing_that_was_not_past_its_gate(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    b.sending_campaign(parts, READERS)
    eraser, file = Eraser(parts, step), tmp_path / "accepted"
    monkeypatch.setattr(b, "Composer", WatchedComposer)
    monkeypatch.setattr(WatchedComposer, "told", staticmethod(eraser.reached), raising=False)
    with sink_in_a_thread(Sink(file, eraser.reached)) as port, capture_logs() as logs:
        config = RelayConfig("127.0.0.1", port, Security.NONE, connections=1)
        sender = b.sender_of(parts, lambda _: Access(SmtpTransport(config, hello="test"), config))
        sender.start()
        try:
            until(
                lambda: set(_rows(parts).values()) <= {"sent", "withdrawn", "failed"},
                "the campaign's end",
            )
        finally:
            sender.stop()
    others = {f"reader{number}@readers.test": 1 for number in range(READERS) if number != 2}
    mine = {"reader2@readers.test": 1} if STEPS[step] == "sent" else {}
    assert accepted_by(file) == others | mine
    begun = {entry["to"] for entry in noted(file, "began")}
    assert ("reader2@readers.test" in begun) == (STEPS[step] != "withdrawn")
    assert _rows(parts) == {
        number + 1: STEPS[step] if number == 2 else "sent" for number in range(READERS)
    }
    assert not [each for each in logs if each["event"] == "conversation broken"]
    assert not eraser.clean().waits
    with parts.sessions() as session:
        theirs = select(delivery.c.id).where(delivery.c.subscriber_id == 3)
        said = session.execute(
            select(attempt.c.reply).where(attempt.c.delivery_id.in_(theirs))
        ).scalars()
        assert set(said) == {
            "sent": {"250 2.0.0"}, "failed": {"550 5.1.1"}, "withdrawn": set()
        }[STEPS[step]]  # fmt: skip
