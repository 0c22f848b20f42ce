"""SMTP over real sockets: what is announced is used, and a no is told from a loss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from certificates import certificate
from sink import DROP, DROP_AFTER_DOT, Sink, Trouble, accepted_by, no_trouble

from mailer.domain.relays import RelayConfig, Security
from mailer.domain.replies import Stage
from mailer.transports import (
    Accepted,
    ConnectFailed,
    Envelope,
    HandedOver,
    Lost,
    Offered,
    Ready,
    Refused,
    Unknown,
)
from mailer.transports.capture import CaptureListener, Mailbox, capture_address
from mailer.transports.smtp import SmtpTransport
from mailer.transports.smtp_connection import Patience

CONTENT = b"Subject: x\r\nX-Mailer-Delivery: 1.a\r\n\r\nHello\r\n"
QUICK = Patience(connect=3, greeting=3, command=3, data=3, body=3, dot=3, quit=1)


def envelope(recipient: str = "ada@readers.test", **more: bool) -> Envelope:
    return Envelope("weekly@news.test", recipient, len(CONTENT), **more)


def transport(sink: Sink, security: Security = Security.NONE, **more: object) -> SmtpTransport:
    config = RelayConfig("localhost", sink.port, security)
    return SmtpTransport(config, hello="us.test", patience=QUICK, **more)  # type: ignore[arg-type]


async def one_mail(sink: Sink, to: str = "ada@readers.test") -> Offered | HandedOver:
    connection = await transport(sink).connect()
    offered = await connection.offer(envelope(to))
    if not isinstance(offered, Ready):
        return offered
    outcome, _ = await connection.hand_over(CONTENT, deadline=time.monotonic() + 5)
    return outcome


def with_sink(
    tmp_path: Path,
    work: Callable[[Sink], Awaitable[object]],
    trouble: Trouble = no_trouble,
    **more: object,
) -> object:
    async def run() -> object:
        sink = Sink(tmp_path / "accepted", trouble, **more)  # type: ignore[arg-type]
        await sink.start()
        try:
            return await work(sink)
        finally:
            await sink.stop()

    return asyncio.run(run())


def at(stage: str, answer: str) -> Trouble:
    return lambda now, _line: answer if now == stage else None


def test_a_mail_is_accepted_and_the_relays_own_id_is_kept(tmp_path: Path) -> None:
    outcome = with_sink(tmp_path, one_mail)
    assert isinstance(outcome, Accepted)
    assert outcome.relay_queue_id == "SINK1"


def test_one_connection_takes_many_mails_also_after_a_refusal(tmp_path: Path) -> None:
    async def work(sink: Sink) -> list[type]:
        connection = await transport(sink).connect()
        outcomes: list[type] = []
        for name in ("a", "bad", "c"):
            outcome: Offered | HandedOver = await connection.offer(envelope(f"{name}@readers.test"))
            if isinstance(outcome, Ready):
                outcome, _ = await connection.hand_over(CONTENT, deadline=time.monotonic() + 5)
            outcomes.append(type(outcome))
        await connection.close()
        assert sink.connections == 1
        return outcomes

    def trouble(stage: str, line: str) -> str | None:
        return "550 5.1.1 unknown" if stage == "RCPT" and "bad@" in line else None

    assert with_sink(tmp_path, work, trouble) == [Accepted, Refused, Accepted]


STAGES = {
    "MAIL": Stage.MAIL,
    "RCPT": Stage.RCPT,
    "DATA": Stage.DATA,
    "DOT": Stage.DOT,
}


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("code", ["451 4.3.0 later", "554 5.6.0 never"])
def test_a_refusal_names_its_stage(tmp_path: Path, stage: str, code: str, pipelining: bool) -> None:
    extensions = ("PIPELINING",) if pipelining else ("8BITMIME",)
    outcome = with_sink(tmp_path, one_mail, at(stage, code), extensions=extensions)
    assert isinstance(outcome, Refused)
    assert outcome.stage is STAGES[stage]
    assert str(outcome.reply) == code


@pytest.mark.parametrize(
    ("stage", "kind"), [("MAIL", Lost), ("RCPT", Lost), ("DATA", Lost), ("DOT", Unknown)]
)
def test_a_lost_connection_is_uncertain_only_after_the_dot(
    tmp_path: Path, stage: str, kind: type
) -> None:
    assert isinstance(with_sink(tmp_path, one_mail, at(stage, DROP)), kind)


def test_a_mail_that_was_taken_without_a_word_is_uncertain_too(tmp_path: Path) -> None:
    assert isinstance(with_sink(tmp_path, one_mail, at("DOT", DROP_AFTER_DOT)), Unknown)
    assert accepted_by(tmp_path / "accepted") == {"ada@readers.test": 1}


def test_no_dot_is_sent_after_the_deadline_or_when_the_gate_stays_closed(tmp_path: Path) -> None:
    async def late(sink: Sink) -> HandedOver:
        connection = await transport(sink).connect()
        assert isinstance(await connection.offer(envelope()), Ready)
        outcome, _ = await connection.hand_over(CONTENT, deadline=time.monotonic() - 1)
        return outcome

    async def closed(sink: Sink) -> bool:
        connection = await transport(sink).connect()
        assert isinstance(await connection.offer(envelope()), Ready)
        await connection.abandon()
        return connection.alive

    assert isinstance(with_sink(tmp_path, late), Lost)
    assert with_sink(tmp_path, closed) is False
    assert not (tmp_path / "accepted").exists()


def test_what_is_not_announced_is_not_used(tmp_path: Path) -> None:
    async def work(sink: Sink) -> list[str]:
        await one_mail(sink)
        return sink.commands

    commands = with_sink(tmp_path, work, extensions=("HELP",))
    assert isinstance(commands, list)
    assert "MAIL FROM:<weekly@news.test>" in commands


def test_an_address_that_the_relay_cannot_take_is_refused_without_asking(tmp_path: Path) -> None:
    async def work(sink: Sink) -> list[Offered]:
        connection = await transport(sink).connect()
        wide = Envelope("w@news.test", "أحمد@readers.test", 10, smtputf8=True)
        large = Envelope("w@news.test", "a@readers.test", 10_000)
        broken = Envelope("w@news.test", "a@x.test>\r\nRCPT TO:<b@x.test", 10)
        return [await connection.offer(each) for each in (wide, large, broken)]

    refused = with_sink(tmp_path, work, extensions=("SIZE 1000",))
    assert isinstance(refused, list)
    codes = [outcome.reply.enhanced for outcome in refused if isinstance(outcome, Refused)]
    assert codes == ["5.6.7", "5.3.4", "5.5.4"]


def test_nothing_listens_is_told_from_a_refusing_relay(tmp_path: Path) -> None:
    async def nobody(sink: Sink) -> None:
        await sink.stop()
        with pytest.raises(ConnectFailed, match="no connection"):
            await transport(sink).connect()

    async def refusing(sink: Sink) -> None:
        with pytest.raises(ConnectFailed, match="554"):
            await transport(sink).connect()

    with_sink(tmp_path, nobody)
    with_sink(tmp_path, refusing, at("CONNECT", "554 5.3.2 closed"))


def test_starttls_is_verified_and_fails_closed(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)

    async def trusted(sink: Sink) -> Offered:
        connection = await transport(sink, Security.STARTTLS, tls=client).connect()
        return await connection.offer(envelope())

    async def untrusted(sink: Sink) -> None:
        with pytest.raises(ConnectFailed, match="certificate"):
            await transport(sink, Security.STARTTLS).connect()
        assert not any(line.startswith("MAIL") for line in sink.commands)

    async def not_offered(sink: Sink) -> None:
        with pytest.raises(ConnectFailed, match="STARTTLS"):
            await transport(sink, Security.STARTTLS, tls=client).connect()

    extensions = ("STARTTLS", "PIPELINING")
    assert with_sink(tmp_path, trusted, tls=server, extensions=extensions) == Ready()
    with_sink(tmp_path, untrusted, tls=server, extensions=extensions)
    with_sink(tmp_path, not_offered)


def test_the_inbox_keeps_what_came_over_the_wire(tmp_path: Path) -> None:
    async def run() -> None:
        mailbox = Mailbox(tmp_path / "inbox")
        listener = CaptureListener(mailbox)
        await listener.start()
        host, port = capture_address(mailbox.folder)
        config = RelayConfig(host, port, Security.NONE)
        connection = await SmtpTransport(config, hello="us.test", patience=QUICK).connect()
        for _ in range(3):
            assert isinstance(await connection.offer(envelope()), Ready)
            outcome, _ = await connection.hand_over(CONTENT, deadline=time.monotonic() + 5)
            assert isinstance(outcome, Accepted)
        await connection.close()
        await listener.stop()
        assert [mail.raw for mail in mailbox.latest(9)] == [CONTENT] * 3
        assert mailbox.get("../../etc/passwd") is None

    asyncio.run(run())
