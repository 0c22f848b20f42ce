"""`mailer doctor` introduces itself to every relay as the sender does, and sends nothing."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from certificates import certificate
from sink import Sink, no_trouble, sink_in_a_thread

from mailer.cli.doctor import relays as checks_relays
from mailer.transports.smtp_connection import Patience


@contextmanager
def listening(tmp_path, **more: object) -> Iterator[Sink]:
    """Let a relay listen in a thread of its own."""
    sink = Sink(tmp_path / "accepted", **{"trouble": no_trouble, **more})
    with sink_in_a_thread(sink):
        yield sink


def finding(weekly, check: str) -> tuple[bool, str]:
    rows = weekly("doctor", "--json").document
    ((fine, says),) = [(row["fine"], row["says"]) for row in rows if row["check"] == check]
    return fine, says


@pytest.fixture
def quick(monkeypatch):
    """A doctor that does not wait long."""
    monkeypatch.setattr(checks_relays, "_PATIENCE", Patience(1, 1, 1, quit=1))
    monkeypatch.setattr(checks_relays, "_LONGEST", 3.0)


def test_a_relay_that_takes_us_is_told_with_what_it_announces(weekly, tmp_path):
    with listening(tmp_path, extensions=("PIPELINING", "AUTH PLAIN")) as sink:
        url = f"smtp://ada:secret-word@127.0.0.1:{sink.port}?tls=none"
        weekly("relay", "add", "ses", "--url", url)
        fine, says = finding(weekly, "relay ses")
    assert fine
    assert says == (
        f"127.0.0.1:{sink.port} answers and announces PIPELINING, AUTH; is spoken to without TLS; "
        "accepts the login of ada"
    )
    assert [line.split()[0] for line in sink.commands] == ["EHLO", "AUTH", "QUIT"]


def test_tls_is_tried_and_its_version_told(weekly, tmp_path, monkeypatch):
    server, client = certificate(tmp_path)
    monkeypatch.setattr(ssl, "create_default_context", lambda: client)
    with listening(tmp_path, tls=server, extensions=("STARTTLS", "PIPELINING")) as sink:
        weekly("relay", "add", "ses", "--url", f"smtp://localhost:{sink.port}")
        fine, says = finding(weekly, "relay ses")
    assert fine, says
    assert "speaks TLSv1.3 with a certificate that is valid for it" in says


WRONG: dict[str, tuple[str, str, dict[str, object]]] = {
    "no TLS": ("smtp://localhost:{port}", "offers no STARTTLS", {}),
    "no login": (
        "smtp://ada:secret-word@127.0.0.1:{port}?tls=none", "neither AUTH PLAIN nor AUTH LOGIN", {},
    ),
    "wrong password": (
        "smtp://ada:secret-word@127.0.0.1:{port}?tls=none",
        "refuses the login of ada (535 5.7.8 no)",
        {
            "extensions": ("AUTH PLAIN",),
            "trouble": lambda stage, _: "535 5.7.8 no" if stage == "AUTH" else None,
        },
    ),
    "turns us away": (
        "smtp://127.0.0.1:{port}?tls=none",
        "does not take us (554 5.7.1 go away)",
        {"trouble": lambda stage, _: "554 5.7.1 go away" if stage == "CONNECT" else None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_keeps_the_sender_out_is_a_finding(weekly, tmp_path, case):
    url, words, relay = WRONG[case]
    with listening(tmp_path, **relay) as sink:
        weekly("relay", "add", "ses", "--url", url.format(port=sink.port))
        fine, says = finding(weekly, "relay ses")
    assert not fine
    assert words in says
    assert says.endswith("say `mailer relay remove ses`.")
    assert "secret-word" not in says


@pytest.mark.usefixtures("quick")
def test_a_relay_that_says_nothing_or_is_not_there_is_a_finding_and_soon(weekly):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        weekly("relay", "add", "mute", "--url", f"smtp://127.0.0.1:{port}?tls=none")
        weekly("relay", "add", "gone", "--url", "smtp://127.0.0.1:1?tls=none")
        rows = {row["check"]: row for row in weekly("doctor", "--json").document}
    assert not rows["relay mute"]["fine"]
    assert "no reply within 1 s" in rows["relay mute"]["says"]
    assert not rows["relay gone"]["fine"]
    assert "no connection" in rows["relay gone"]["says"]
