"""A setting that is wrong, missing or taken is named, by every verb."""

from __future__ import annotations

import socket

import pytest
from shells.endings import refused

from mailer.cli.ports import PortInUse, refuse_taken_port


def test_a_wrong_setting_is_named(mailer, monkeypatch):
    monkeypatch.setenv("MAILER_BIND", "everywhere")
    refused(
        mailer("status"), "MAILER_BIND is “everywhere”: write HOST:PORT, such as 127.0.0.1:8000."
    )


def test_an_unknown_setting_is_named(mailer, monkeypatch):
    monkeypatch.setenv("MAILER_COLOUR", "red")
    refused(
        mailer("status"),
        "Unknown environment variable MAILER_COLOUR: see docs/reference/settings.md for the names "
        "there are.",
    )


def test_without_an_installation_the_next_command_is_named(mailer, home):
    refused(
        mailer("newsletter", "list"),
        f"There is no installation in {home} yet (no MAILER_SECRET_KEY): run `mailer init`, "
        "or set MAILER_HOME.",
    )
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAILER_DATABASE_URL", "postgresql://h:port/x"),
        ("MAILER_DATABASE_URL", "postgresql://[::1"),
        ("MAILER_REDIS_URL", "redis://[::1"),
        ("MAILER_SMTP_URL", "smtp://[::1"),
        ("MAILER_PUBLIC_URL", "http://[::1"),
        ("MAILER_PUBLIC_URL", "http://x:99999"),
        ("MAILER_PUBLIC_URL", 'http://x"><script>'),
        ("MAILER_PUBLIC_URL", "http://ünï.example"),
        ("MAILER_TRUSTED_PROXIES", "garbage"),
        ("MAILER_BIND", "127.0.0.1:²"),
        ("MAILER_SECRET_KEY", ","),
    ],
)
@pytest.mark.parametrize("verb", ["status", "doctor"])
def test_a_setting_that_cannot_be_read_is_named_by_every_verb(
    weekly, monkeypatch, name, value, verb
):
    monkeypatch.setenv(name, value)
    ended = weekly(verb)
    assert ended.status == 1
    assert "Traceback" not in ended.err
    told = ended.out + ended.err
    assert name in told or "relay" in told


def test_a_key_file_that_is_no_text_is_named(weekly, monkeypatch, tmp_path):
    (tmp_path / "key").write_bytes(b"\xff\xfe" * 40)
    monkeypatch.setenv("MAILER_LOG_KEY_FILE", str(tmp_path / "key"))
    ended = weekly("status")
    assert ended.status == 1
    assert "MAILER_LOG_KEY" in ended.err


def test_a_port_in_use_is_named_with_another_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            refuse_taken_port("127.0.0.1", port)
    assert str(caught.value) == (
        f"Port {port} on 127.0.0.1 is in use: stop what listens there, or set MAILER_BIND to "
        f"another port, such as 127.0.0.1:{port + 1 if port < 65535 else 8000}."
    )


@pytest.mark.parametrize("verb", ["up", "web"])
def test_nothing_starts_on_a_port_in_use(weekly, monkeypatch, verb):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setenv("MAILER_BIND", f"127.0.0.1:{taken.getsockname()[1]}")
        ended = weekly(verb)
    assert ended.status == 1
    assert "is in use: stop what listens there" in ended.err
