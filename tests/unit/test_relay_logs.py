"""Relays' logs: what they say of our mails, and that nothing in them can do harm."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.evidence import Said, Span
from mailer.inbound import (
    CannotReadLog,
    EximLog,
    LogClock,
    NoRelayLog,
    PostfixLog,
    RelayLogs,
    open_log,
)
from mailer.inbound.postfix_log import _Recent

SAMPLE = Path(__file__).parents[1] / "samples" / "postfix-3.7.log"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
OURS = ("a.ok", "b.spam", "c.hold", "d.nodot", "e.nodot-large", "f.dot-gone", "g.dot-rst", "h.not")


def read(lines: Iterable[bytes], *names: str, zone: str = "UTC") -> RelayLogs:
    logs = RelayLogs(
        {name: number for number, name in enumerate(names)}, LogClock(ZoneInfo(zone), now=NOW)
    )
    logs.read(lines, (PostfixLog(), EximLog()), "mail.log")
    return logs


def said(lines: Iterable[bytes], *names: str) -> dict[str, set[tuple[str, str]]]:
    found = read(lines, *names).sightings
    return {
        name: {(each.said.value, each.queue_id) for each in found.get(number, {}).values()}
        for number, name in enumerate(names)
    }


def line(text: str, *, host: str = "relay", at: str = "Nov 24 09:00:00") -> bytes:
    return f"{at} {host} postfix/{text}".encode()


BEGUN = [
    line("smtpd[7]: BFCEC9A2168: client=localhost[127.0.0.1]"),
    line("cleanup[8]: BFCEC9A2168: message-id=<1f.abc@news.test>"),
]
ACTIVE = line("qmgr[9]: BFCEC9A2168: from=<weekly@news.test>, size=287, nrcpt=1 (queue active)")


def test_a_real_log_tells_what_was_taken_refused_cut_off_or_only_begun() -> None:
    """Written by Postfix 3.7.11: taken, refused, held, hung up before the dot (twice, the second
    one large), and hung up after the dot (closed, reset)."""
    assert said(SAMPLE.read_bytes().splitlines(), *OURS) == {
        "a.ok": {("accepted", "BFCEC9A2168")},
        "b.spam": {("not accepted", "C02F59A20A7")},
        "c.hold": {("seen", "C07379A20A7")},
        "d.nodot": {("not accepted", "C0A8E9A20A8")},
        "e.nodot-large": {("not accepted", "C31559A20A8")},
        "f.dot-gone": {("accepted", "499529A2176")},
        "g.dot-rst": {("accepted", "4A3119A2177")},
        "h.not": set(),
    }


def test_the_real_log_is_the_same_with_times_of_rfc_3339() -> None:
    text = SAMPLE.read_text("utf-8").replace("Nov 24 23:", "2026-11-25T00:")
    lines = [
        line.replace(" relay ", ".123456+01:00 relay ", 1).encode() for line in text.splitlines()
    ]
    logs = read(lines, *OURS, zone="Africa/Lagos")
    assert logs.sightings[0]["BFCEC9A2168"].said is Said.ACCEPTED
    assert logs.sightings[0]["BFCEC9A2168"].at == datetime(2026, 11, 24, 23, 46, 16, tzinfo=UTC)
    first = datetime(2026, 11, 24, 23, 46, 0, tzinfo=UTC)
    assert logs.spans == [Span(first, first + timedelta(seconds=19))]


def test_a_message_id_alone_proves_nothing() -> None:
    assert said(BEGUN, "1f.abc") == {"1f.abc": {("seen", "BFCEC9A2168")}}
    assert said([*BEGUN, ACTIVE], "1f.abc") == {"1f.abc": {("accepted", "BFCEC9A2168")}}


@pytest.mark.parametrize(
    "between",
    [
        line("smtpd[7]: BFCEC9A2168: client=other[192.0.2.1]"),
        line("cleanup[8]: BFCEC9A2168: message-id=<other@elsewhere.test>"),
        line("cleanup[8]: BFCEC9A2168: message-id=<>"),
    ],
)
def test_a_queue_id_that_is_used_again_is_another_mail(between: bytes) -> None:
    assert said([*BEGUN, between, ACTIVE], "1f.abc") == {"1f.abc": {("seen", "BFCEC9A2168")}}


def test_queue_ids_belong_to_their_host() -> None:
    elsewhere = ACTIVE.replace(b" relay ", b" other ")
    assert said([*BEGUN, elsewhere], "1f.abc") == {"1f.abc": {("seen", "BFCEC9A2168")}}


def test_a_connection_that_is_lost_concerns_its_own_mail_alone() -> None:
    lost = line("smtpd[6]: lost connection after DATA (162 bytes) from other[192.0.2.1]")
    assert said([*BEGUN, lost], "1f.abc") == {"1f.abc": {("seen", "BFCEC9A2168")}}
    after_the_dot = line("smtpd[7]: lost connection after END-OF-MESSAGE from localhost[127.0.0.1]")
    assert said([*BEGUN, after_the_dot], "1f.abc") == {"1f.abc": {("seen", "BFCEC9A2168")}}


def test_acceptance_stands_whatever_else_is_said_of_the_mail() -> None:
    lost = line("smtpd[7]: lost connection after DATA (162 bytes) from localhost[127.0.0.1]")
    for lines in ([*BEGUN, ACTIVE, lost], [*BEGUN, lost, ACTIVE]):
        assert said(lines, "1f.abc") == {"1f.abc": {("accepted", "BFCEC9A2168")}}


def test_a_line_within_a_line_is_not_a_line() -> None:
    inside = [
        line("cleanup[8]: 4A3119A2177: warning: header Subject: " + each.decode())
        for each in (*BEGUN, ACTIVE)
    ]
    assert said(inside, "1f.abc") == {"1f.abc": set()}


def test_mails_are_known_whatever_domain_their_message_ids_had() -> None:
    before_the_move = [each.replace(b"@news.test", b"@old.test") for each in BEGUN]
    assert said([*before_the_move, ACTIVE], "1f.abc")["1f.abc"]


def test_a_mail_that_goes_round_in_circles_fills_no_memory() -> None:
    circles = [BEGUN[1].replace(b"BFCEC9A2168", b"BFCEC9A%04d" % number) for number in range(500)]
    found = said(circles, "1f.abc")["1f.abc"]
    assert len(found) == 51
    assert ("seen", "…") in found
    recent: _Recent[int, int] = _Recent()
    for number in range(50_000):
        recent.note(number, number)
    assert len(recent) == 20_000


EXIM = [
    b"2026-11-24 09:00:00 1hhlhb-006myf-8K <= weekly@news.test H=(mailer) [192.0.2.7]:52105 "
    b"P=esmtps X=TLSv1.3:TLS_AES_256_GCM_SHA384:256 CV=no S=66921 id=1f.abc@news.test",
    b"2026-11-24 09:00:00.123 +0100 [711] 1tF0aB-000000001Xy-2abc <= weekly@news.test H=m [::1] "
    b'P=esmtp S=1 id=2f.abc@news.test T="News" for reader@readers.test',
    b"2026-11-24 09:00:01 1hhlhb-006myf-8K => reader@readers.test R=dnslookup id=3f.abc@news.test",
    b"2026-11-24 09:00:02 SMTP connection lost after final dot H=m [192.0.2.7] P=esmtp",
]


def test_exim_writes_one_line_for_what_it_has_taken() -> None:
    assert said(EXIM, "1f.abc", "2f.abc", "3f.abc") == {
        "1f.abc": {("accepted", "1hhlhb-006myf-8K")},
        "2f.abc": {("accepted", "1tF0aB-000000001Xy-2abc")},
        "3f.abc": set(),
    }


@pytest.mark.parametrize("words", [
    "rsyslogd: imuxsock[pid 5]: 312 messages lost due to rate-limiting (200 allowed in 5 seconds)",
    "systemd-journald[77]: Suppressed 312 messages from postfix@-.service",
])  # fmt: skip
def test_a_log_that_says_it_dropped_lines_is_believed(words: str) -> None:
    assert read([*BEGUN, b"Nov 24 09:00:00 relay " + words.encode()], "1f.abc").lines_lost
    quoted = line(f"cleanup[8]: BFCEC9A2168: reject: header Subject: {words}")
    assert not read([*BEGUN, quoted], "1f.abc").lines_lost


@pytest.mark.parametrize(
    ("stamp", "zone", "utc"),
    [
        (b"Nov 24 09:00:00", "UTC", "2026-11-24T09:00:00"),
        (b"Nov  4 09:00:00", "Africa/Lagos", "2026-11-04T08:00:00"),
        (b"Dec 31 23:00:00", "UTC", "2025-12-31T23:00:00"),  # it is November: last year's
        (b"Nov 26 11:59:59", "UTC", "2026-11-26T11:59:59"),  # a clock may run ahead a little
        (b"Nov 26 12:00:01", "UTC", "2025-11-26T12:00:01"),
        (b"Feb 29 10:00:00", "UTC", "2024-02-29T10:00:00"),
        (b"2026-11-24T09:00:00.5+01:00", "UTC", "2026-11-24T08:00:00"),
        (b"2026-11-24T09:00:00-0330", "UTC", "2026-11-24T12:30:00"),
        (b"2026-11-24T09:00:00Z", "Africa/Lagos", "2026-11-24T09:00:00"),
        (b"2026-11-24 09:00:00", "Africa/Lagos", "2026-11-24T08:00:00"),
        (b"Feb 30 10:00:00", "UTC", None),
        (b"Xyz 10 10:00:00", "UTC", None),
        (b"2026-11-24T29:00:00Z", "UTC", None),
        (b"0001-01-01T00:00:00+2300", "UTC", None),
        (b"", "UTC", None),
    ],
)
def test_what_a_time_leaves_out_is_assumed(stamp: bytes, zone: str, utc: str | None) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC) if utc else None
    assert LogClock(ZoneInfo(zone), now=NOW).read(stamp) == expected


def test_an_hour_that_comes_twice_makes_the_span_rather_too_short() -> None:
    """Clocks in Paris went back from 3:00 to 2:00 on 25 October 2026."""
    begun = [each.replace(b"Nov 24 09:00:00", b"Oct 25 02:30:00") for each in BEGUN]
    (span,) = read(begun, "1f.abc", zone="Europe/Paris").spans
    assert span.first == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    assert span.last == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_without_a_named_zone_it_is_said_that_one_was_assumed() -> None:
    clock = LogClock(None, now=NOW)
    clock.read(b"2026-11-24T09:00:00Z")
    assert not clock.assumed_zone
    clock.read(b"Nov 24 09:00:00")
    assert clock.assumed_zone


def test_a_file_that_is_no_mail_log_is_refused() -> None:
    for lines in ([], [b"hello"], [b"\0\xff\xfe" * 100], [b"Nov 24 09:00:00 relay cron[1]: x"]):
        with pytest.raises(NoRelayLog, match=r"mail\.log"):
            read(lines)


def lines_of(path: Path) -> list[bytes]:
    with open_log(path, lambda done, total: None) as lines:
        return list(lines)


def test_a_log_is_read_plain_or_compressed_and_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"\n".join([*BEGUN, ACTIVE])
    plain, zipped = tmp_path / "mail.log", tmp_path / "old"
    plain.write_bytes(content.replace(b"\n", b"\r\n"))
    zipped.write_bytes(gzip.compress(content))
    for raw in (content, gzip.compress(content)):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw))))  # type: ignore[arg-type]
        assert lines_of(Path("-")) == [*BEGUN, ACTIVE]
    assert lines_of(plain) == lines_of(zipped) == [*BEGUN, ACTIVE]


def test_the_rest_of_a_line_that_is_too_long_is_no_line_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_bytes(b"x" * 8_192 + ACTIVE + b"\n" + b"y" * 100_000 + b"\n" + ACTIVE)
    assert lines_of(log) == [b"x" * 8_192, b"y" * 8_192, ACTIVE]


def test_what_cannot_be_read_to_its_end_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotReadLog, match="check the path"):
        lines_of(tmp_path / "missing")
    with pytest.raises(CannotReadLog, match="check the path"):
        lines_of(tmp_path)
    whole = gzip.compress(SAMPLE.read_bytes())
    for number, raw in enumerate((whole[:-100], whole[:200] + b"\0\0\0\0" + whole[204:])):
        broken = tmp_path / f"{number}.gz"
        broken.write_bytes(raw)
        with pytest.raises(CannotReadLog, match="damaged or cut off"):
            lines_of(broken)


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"Nov 24 09:00:00", b" relay ", b"postfix/", b"smtpd[7]: ", b"cleanup[8]: "]),
    st.sampled_from(
        [b"ABCDEF1: ", b"client=", b"message-id=<1f.abc@", b" after DATA", b"reject: "]
    ),
    st.sampled_from(SAMPLE.read_bytes().splitlines() + EXIM),
)
GARBAGE = st.lists(st.lists(PIECES, max_size=6).map(b"".join), max_size=30)


@given(GARBAGE)
def test_nothing_in_a_log_breaks_the_reader(lines: list[bytes]) -> None:
    logs = RelayLogs({"1f.abc": 1}, LogClock(None, now=NOW))
    try:
        logs.read(lines, (PostfixLog(), EximLog()), "mail.log")
    except NoRelayLog:
        assert not logs.spans


@given(GARBAGE, st.integers(0, 30))
def test_garbage_between_the_lines_hides_no_acceptance_of_another_name(
    lines: list[bytes], place: int
) -> None:
    """And makes none up: only `cleanup`, `qmgr` and no garbage name this mail."""
    mixed = [*lines[:place], *BEGUN, ACTIVE, *lines[place:]]
    mixed = [each for each in mixed if b"\n" not in each]
    logs = RelayLogs({"1f.abc": 1, "never.here": 2}, LogClock(None, now=NOW))
    logs.read(mixed, (PostfixLog(),), "mail.log")
    assert logs.sightings[1]["BFCEC9A2168"].said is Said.ACCEPTED
    assert 2 not in logs.sightings
