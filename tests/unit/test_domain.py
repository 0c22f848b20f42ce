"""The rules: pure, in milliseconds."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.addresses import BadAddress, address_hash, parse_address, wire_address
from mailer.domain.alignment import alignment
from mailer.domain.consent import ConsentState, Method, SubscriptionState, next_state
from mailer.domain.deliveries import TRANSITIONS, DeliveryState
from mailer.domain.relays import BadRelay, RelayKind, Security, parse_relay_url
from mailer.domain.replies import Stage, Verdict, classify, masked, parse_reply
from mailer.domain.retry import retry_delay
from mailer.domain.schedule import BadSchedule, next_run
from mailer.domain.tokens import Token, TokenKind, TokenSigner, _key_id, delivery_token
from mailer.domain.urls import BadUrl, canonical

KEY, OLD_KEY = b"k" * 32, b"o" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_="


@given(st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_token_says_what_was_signed(newsletter: int, reader: int, serial: int) -> None:
    token = Token(TokenKind.CONFIRM, newsletter, reader, serial)
    signer = TokenSigner([KEY])
    assert signer.read(signer.sign(token), TokenKind.CONFIRM) == token
    assert signer.read(signer.sign(token), TokenKind.UNSUBSCRIBE) is None


@given(st.data())
def test_changing_any_character_of_a_token_makes_it_worthless(data: st.DataObject) -> None:
    signer = TokenSigner([KEY])
    text = signer.sign(Token(TokenKind.UNSUBSCRIBE, 1, 2))
    position = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from([c for c in ALPHABET if c != text[position]]))
    assert (
        signer.read(text[:position] + other + text[position + 1 :], TokenKind.UNSUBSCRIBE) is None
    )


@given(st.text())
def test_a_strangers_text_is_no_token(text: str) -> None:
    assert TokenSigner([KEY]).read(text, TokenKind.UNSUBSCRIBE) is None


def test_old_links_live_on_when_the_key_is_rotated_and_die_when_it_is_dropped() -> None:
    old = TokenSigner([OLD_KEY]).sign(Token(TokenKind.UNSUBSCRIBE, 1, 2))
    assert TokenSigner([KEY, OLD_KEY]).read(old, TokenKind.UNSUBSCRIBE)
    assert TokenSigner([KEY]).read(old, TokenKind.UNSUBSCRIBE) is None


def test_links_of_an_old_key_live_on_even_where_two_keys_share_an_id() -> None:
    newest = next(
        key
        for key in (f"another key {number}".encode() * 3 for number in range(10_000))
        if _key_id(key) == _key_id(OLD_KEY)
    )
    old = TokenSigner([OLD_KEY]).sign(Token(TokenKind.UNSUBSCRIBE, 1, 2, 3))
    assert TokenSigner([newest, OLD_KEY]).read(old, TokenKind.UNSUBSCRIBE)


def test_a_deliverys_name_is_the_same_every_time_and_another_for_every_delivery() -> None:
    assert delivery_token(7, KEY) == delivery_token(7, KEY)
    assert len({delivery_token(number, KEY) for number in range(1000)}) == 1000


@pytest.mark.parametrize("state", [SubscriptionState.LEFT, SubscriptionState.REFUSED])
@pytest.mark.parametrize("method", [Method.CLI, Method.IMPORT, Method.EXPIRY, Method.COMPLAINT])
def test_nobody_but_the_reader_revives_a_consent_that_was_withdrawn(
    state: SubscriptionState, method: Method
) -> None:
    for event in ConsentState:
        assert next_state(state, event, method) is None


@pytest.mark.parametrize("state", [None, *SubscriptionState])
@pytest.mark.parametrize("event", list(ConsentState))
def test_saying_a_thing_twice_is_saying_it_once(
    state: SubscriptionState | None, event: ConsentState
) -> None:
    after = next_state(state, event, Method.FORM)
    repeatable = (ConsentState.RENEWED, ConsentState.REQUESTED)  # a request, after a day
    if after is not None and event not in repeatable:
        assert next_state(after, event, Method.FORM) is None


def test_every_delivery_state_can_be_reached_and_the_final_ones_are_final() -> None:
    reachable = {DeliveryState.QUEUED}.union(*TRANSITIONS.values())
    assert reachable == set(DeliveryState)
    for final in ("sent", "withdrawn", "suppressed", "expired", "cancelled", "presumed_sent"):
        assert TRANSITIONS[DeliveryState(final)] == frozenset()


REPLIES = [
    (Stage.CONNECT, 554, "no", Verdict.BACK_OFF_RELAY),
    (Stage.AUTH, 535, "5.7.8 bad password", Verdict.BACK_OFF_RELAY),
    (Stage.MAIL, 451, "4.3.0 later", Verdict.RETRY_READER),
    (Stage.MAIL, 550, "5.7.1 sender refused", Verdict.PAUSE_CAMPAIGN),
    (Stage.RCPT, 421, "4.3.2 shutting down", Verdict.BACK_OFF_RELAY),
    (Stage.RCPT, 421, "4.7.0 too fast", Verdict.SLOW_RELAY),
    (
        Stage.MAIL,
        454,
        "4.7.0 Throttling failure: Maximum sending rate exceeded",
        Verdict.SLOW_RELAY,
    ),
    (Stage.RCPT, 450, "4.7.1 not from your host", Verdict.RETRY_READER),
    (Stage.RCPT, 452, "4.2.2 Mailbox quota exceeded", Verdict.RETRY_READER),
    (Stage.RCPT, 450, "4.2.1 receiving mail at a rate limited", Verdict.RETRY_READER),
    (Stage.RCPT, 452, "4.5.3 Too many recipients, limit exceeded", Verdict.RETRY_READER),
    (Stage.RCPT, 450, "4.2.1 busy", Verdict.RETRY_READER),
    (Stage.RCPT, 552, "too many recipients", Verdict.RETRY_READER),
    (Stage.RCPT, 550, "5.1.1 no such user", Verdict.SUPPRESS_ADDRESS),
    (Stage.RCPT, 556, "no mail here", Verdict.SUPPRESS_ADDRESS),
    (Stage.RCPT, 550, "5.7.1 policy", Verdict.FAIL_DELIVERY),
    (Stage.RCPT, 554, "5.7.1 relay access denied", Verdict.PAUSE_CAMPAIGN),
    (Stage.DOT, 554, "5.6.0 content", Verdict.FAIL_DELIVERY),
    (Stage.DOT, 452, "4.3.1 disk full", Verdict.RETRY_READER),
]


@pytest.mark.parametrize(("stage", "code", "text", "verdict"), REPLIES)
def test_a_reply_has_the_consequence_of_the_table(
    stage: Stage, code: int, text: str, verdict: Verdict
) -> None:
    assert classify(stage, parse_reply(code, text)) is verdict


RECEIVERS_REPLIES = [
    (Stage.CONNECT, 421, "4.3.2 busy", Verdict.BACK_OFF_RELAY),
    (Stage.MAIL, 421, "4.3.2 busy", Verdict.BACK_OFF_RELAY),
    (Stage.RCPT, 421, "4.7.28 unusual rate of mail from your network", Verdict.BACK_OFF_PROVIDER),
    (Stage.DOT, 451, "4.7.650 your IP has been rate limited", Verdict.BACK_OFF_PROVIDER),
    (Stage.RCPT, 450, "4.7.1 not from your host", Verdict.BACK_OFF_PROVIDER),
    (Stage.RCPT, 451, "4.7.1 Greylisting in action, please come back later", Verdict.RETRY_READER),
    (Stage.RCPT, 452, "4.5.3 too many recipients", Verdict.RETRY_READER),
    (Stage.RCPT, 452, "4.2.2 mailbox full", Verdict.RETRY_READER),
    (Stage.RCPT, 550, "5.1.1 no such user", Verdict.SUPPRESS_ADDRESS),
]


@pytest.mark.parametrize(("stage", "code", "text", "verdict"), RECEIVERS_REPLIES)
def test_what_a_direct_relay_passes_on_is_held_against_the_receiving_provider(
    stage: Stage, code: int, text: str, verdict: Verdict
) -> None:
    assert classify(stage, parse_reply(code, text), RelayKind.DIRECT) is verdict


def test_only_a_refused_recipient_is_ever_held_against_the_address() -> None:
    for stage in set(Stage) - {Stage.RCPT}:
        for code in (421, 450, 550, 554, 556):
            reply = parse_reply(code, f"{code // 100}.1.1 no such user")
            assert classify(stage, reply) is not Verdict.SUPPRESS_ADDRESS


def test_no_address_is_kept_in_a_reply() -> None:
    assert "@" not in masked("550 <ada@readers.test>: user ada@readers.test unknown")


@given(st.integers(1, 50), st.floats(0, 0.999))
def test_retries_come_later_and_later_and_never_later_than_72_minutes(
    attempts: int, jitter: float
) -> None:
    assert timedelta(minutes=4) <= retry_delay(attempts, jitter) <= timedelta(minutes=72)
    assert retry_delay(attempts, jitter) <= retry_delay(attempts + 1, 0.999) * 1.001


def test_half_past_two_comes_once_on_the_night_that_has_it_twice() -> None:
    first = next_run("30 2 * * *", "Europe/Paris", datetime(2026, 10, 24, 12, tzinfo=UTC))
    second = next_run("30 2 * * *", "Europe/Paris", first)
    assert first.date() == datetime(2026, 10, 25, tzinfo=UTC).date()
    assert second - first > timedelta(hours=23)


def test_half_past_two_comes_once_on_the_night_that_does_not_have_it() -> None:
    after = datetime(2026, 3, 28, 12, tzinfo=UTC)
    runs = [after]
    for _ in range(3):
        runs.append(next_run("30 2 * * *", "Europe/Paris", runs[-1]))
    assert [run.day for run in runs[1:]] == [29, 30, 31]


@pytest.mark.parametrize("cron", ["", "nonsense", "61 * * * *", "* * * *"])
def test_a_bad_cron_expression_is_named(cron: str) -> None:
    with pytest.raises(BadSchedule, match="cron expression"):
        next_run(cron, "UTC", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_bad_time_zone_is_named() -> None:
    with pytest.raises(BadSchedule, match="Africa/Lagos"):
        next_run("0 7 * * *", "Mars/Olympus", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@x.test", "a b@x.test", "a@x.test\r\nBcc: b@x"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


def test_one_mailbox_has_one_hash_however_it_is_spelled() -> None:
    spellings = ("Ada@Readers.Test", "ada@readers.test", " ADA@READERS.TEST ")
    hashes = {address_hash(parse_address(text), KEY) for text in spellings}
    assert len(hashes) == 1
    assert address_hash(parse_address("ada@readers.test"), OLD_KEY) not in hashes


def test_addresses_of_all_scripts_are_taken() -> None:
    assert parse_address("أحمد@مثال.إختبار.test").local == "أحمد"


@pytest.mark.parametrize(
    ("given_url", "wanted"),
    [
        ("HTTPS://News.Test:443/a?utm_source=x&id=7&fbclid=y#top", "https://news.test/a?id=7"),
        ("https://news.test/a?partner=rss&emc=RSS&wbraid=1&p=2", "https://news.test/a?p=2"),
        ("http://news.test", "http://news.test/"),
        ("http://user:pw@news.test/x", "http://news.test/x"),
        ("https://news.test/é", "https://news.test/%C3%A9"),
    ],
)
def test_a_canonical_url_says_only_which_page_it_is(given_url: str, wanted: str) -> None:
    assert canonical(given_url) == wanted


@given(
    st.from_regex(
        r"https?://[a-z]{1,9}\.test(/[a-zA-Z0-9%._~é -]{0,20})?(\?[a-z=&%+]{0,20})?", fullmatch=True
    )
)
def test_making_a_url_canonical_twice_changes_nothing(url: str) -> None:
    try:
        once = canonical(url)
    except BadUrl:
        return
    assert canonical(once) == once


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "//x", "", "http://"])
def test_what_is_no_page_has_no_canonical_url(url: str) -> None:
    with pytest.raises(BadUrl):
        canonical(url)


def test_a_relay_url_is_read_whole() -> None:
    config = parse_relay_url("smtp://me:s%40cret@mail.test?connections=7&rate=2.5&kind=direct")
    assert (config.host, config.port, config.security) == ("mail.test", 587, Security.STARTTLS)
    assert (config.user, config.password, config.connections) == ("me", "s@cret", 7)
    assert "s@cret" not in repr(config) + str(config)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.test",
        "smtp://",
        "smtp://m.test:99999",
        "smtp://m.test?tls=maybe",
        "smtp://m.test?connections=0",
        "smtp://m.test?rate=fast",
        "smtp://m.test?colour=red",
        "smtp://me:hidden@m.test?tls=none",
    ],
)
def test_a_wrong_relay_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadRelay) as refusal:
        parse_relay_url(url)
    assert "hidden" not in str(refusal.value)


@given(
    st.sampled_from(["30 1 * * *", "30 2 * * *", "0 * * * *", "59 23 * * *", "*/15 1-3 * * *"]),
    st.sampled_from(["Europe/London", "America/New_York", "Africa/Cairo", "Asia/Beirut", "UTC"]),
    st.integers(0, 270 * 24 * 60),
)
def test_the_next_run_lies_ahead_whatever_the_clocks_do(
    cron: str, timezone: str, minutes: int
) -> None:
    after = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    assert next_run(cron, timezone, after) > after


@pytest.mark.parametrize("cron", ["* * * * * *", "0 7 * *", "0 0 30 2 *", "x", ""])
def test_a_cron_expression_has_five_fields_of_days_that_exist(cron: str) -> None:
    with pytest.raises(BadSchedule, match="five fields"):
        next_run(cron, "UTC", datetime(2026, 11, 24, tzinfo=UTC))


def test_two_domains_are_two_mailboxes_and_two_cases_are_one() -> None:
    keys = [
        parse_address(text).key
        for text in ("Info@straße.example", "info@strasse.example", "info@STRASSE.example")
    ]
    assert keys[0] != keys[1]
    assert keys[1] == keys[2]


def test_an_address_goes_on_the_wire_with_its_domain_in_ascii() -> None:
    address = str(parse_address("Jürgen@bücher.example"))
    assert wire_address(address) == "Jürgen@xn--bcher-kva.example"
    assert wire_address("ada@readers.test") == "ada@readers.test"


@pytest.mark.parametrize("text", ["\ufffd@readers.test", "a\0@readers.test", "a\n@readers.test"])
def test_what_could_not_be_read_is_no_address(text: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(text)


@pytest.mark.parametrize(
    ("sender", "signer", "stands"),
    [
        ("news.test", "news.test", "aligned"),
        ("News.Test", "news.test", "aligned"),
        ("weekly.news.test", "news.test", "aligned"),
        ("news.test", "mail.news.test", "aligned"),
        ("weekly.news.test", "mail.news.test", "siblings"),
        ("news.test", "other.test", "apart"),
        ("badnews.test", "news.test", "apart"),
    ],
)
def test_a_signature_speaks_for_its_own_domain_and_those_above_and_below(
    sender: str, signer: str, stands: str
) -> None:
    assert alignment(sender, signer) == stands
