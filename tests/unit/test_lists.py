"""Lists of readers as files: encodings, delimiters, columns, known exports, and what is broken."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES
from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.addresses import (
    BadAddress,
    Mailbox,
    mailbox,
    parse_address,
    plain_mailbox,
    receiving_provider,
)
from mailer.domain.importing import (
    ListRow,
    Reader,
    Standing,
    readers_of,
)
from mailer.domain.leaf_text import PersonalSpelling
from mailer.domain.leaves import PERSONAL_FIELDS, canonical
from mailer.domain.spans import BadSpan, Span, parse_span
from mailer.lists.columns import Columns, UnclearColumns, find_columns
from mailer.lists.encoding import BrokenList, look_through
from mailer.lists.spool import BUCKETS, Spool, stretches, unpacked
from mailer.lists.table import Table, open_table
from mailer.services.imports.rows import BadRow, Reading, RowReader, looks, moment_of, parse_moment

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
LOCALS = st.text('aA09._+-!#@ "\\é\u0301', max_size=70)
DOMAINS = st.sampled_from(
    ["readers.test", "Readers.TEST", "bücher.example", "a.b", "localhost", "x.invalid", "-a.test"]
) | st.text("aZ0.-_é", max_size=200)


@given(LOCALS | st.sampled_from(["Postmaster", "abuse", "INFO"]), DOMAINS)
def test_the_quick_look_at_an_address_agrees_with_the_thorough_one(local: str, domain: str) -> None:
    text = f"{local}@{domain}"
    quick = plain_mailbox(text)
    try:
        parsed = parse_address(text)
    except BadAddress:
        assert quick is None
        with pytest.raises(BadAddress):
            mailbox(text)
    else:
        slow = Mailbox(str(parsed), parsed.key, receiving_provider(parsed))
        assert quick in (None, slow)
        assert mailbox(text) == slow


@given(st.from_regex(r"[a-z0-9_+-]{1,20}(\.[A-Z0-9]{1,9}){0,3}@[a-z]{1,9}\.org", fullmatch=True))
def test_ordinary_addresses_take_the_quick_way(text: str) -> None:
    local = text.partition("@")[0].lower()
    if local not in CASE_INSENSITIVE_MAILBOX_NAMES:
        quick = plain_mailbox(f" {text} ")
        assert quick
        assert quick.address == text


@given(st.text(), st.text(), st.text(), st.integers(0, 10**9))
def test_what_is_spelled_in_bulk_is_spelled_as_one_by_one(
    address: str, source: str, file_name: str, line: int
) -> None:
    texts = (address, source, file_name)
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        return
    personal = dict.fromkeys(PERSONAL_FIELDS, "")
    personal |= {"address": address, "source": f"{source} ({file_name}, line {line})"}
    assert PersonalSpelling(source, file_name).spell(address, line) == canonical(personal)


def table(tmp_path: Path, content: str | bytes, name: str = "list.csv") -> Table:
    """Open a list of this content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return open_table(look_through(path))


def columns_of(opened: Table, **asked: str) -> Columns:
    """Find the columns."""
    return find_columns(opened, asked, looks())


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8-sig"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encoding_and_delimiter_are_found(
    tmp_path: Path, encoding: str, found: str, delimiter: str
) -> None:
    text = "email,name\r\nada@readers.test,Adá\r\n".replace(",", delimiter)
    opened = table(tmp_path, text.encode(encoding))
    assert opened.file.encoding == found
    assert opened.columns == ("email", "name")
    assert list(opened.rows(0)) == [(2, ["ada@readers.test", "Adá"])]


def test_bytes_that_no_cp1252_has_make_it_latin_1(tmp_path: Path) -> None:
    assert table(tmp_path, b"email,name\na@b.test,\x81\xe9\n").file.encoding == "iso8859-1"


def test_one_bad_byte_among_utf_8_is_named_with_its_line(tmp_path: Path) -> None:
    rows = "".join(f"reader{number}@readers.test,Ää\n" for number in range(200))
    content = b"email,name\n" + rows.encode() + b"bola@readers.test,\xe4\n"
    with pytest.raises(BrokenList, match=r"line 202: there are bytes that are no UTF-8"):
        table(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n ,\n", "no rows"),
        (b"email,name\n", "a header and no readers"),
        (b'email,name\nada@b.test,"Ada\nbola@b.test,Bola\n', "line 2: a quote is opened here"),
        (b'email,name\nada@b.test,"Ada\nbola@b.test,"Bola"\n', "line 2: a quoted cell"),
        (
            b'email,name\nada@b.test,"Ada\nbola@b.test,Bola\ncleo@b.test,"\ndora@b.test,D\n',
            "line 2: a quote that is opened here swallows",
        ),
        (b"x" * 10_000_000, "line 1 is longer than a million characters"),
        (b'email\n"' + b"x" * 200_000 + b'"\n', "line 2: a cell that begins here has more than"),
    ],
)
def test_a_broken_list_is_refused_with_its_line(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BrokenList, match=words):
        list(table(tmp_path, content).rows(0))


def test_a_broken_quote_in_row_900_000_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    with path.open("w", encoding="utf-8") as file:
        file.write("email,name\n")
        for number in range(950_000):
            quote = '"' if number != 900_000 else ""
            file.write(f'r{number}@b.test,"R{quote}\n')
    with pytest.raises(BrokenList, match="line 900002: "):
        for _ in open_table(look_through(path)).rows(0):
            pass


def test_a_note_of_many_lines_is_no_broken_quote(tmp_path: Path) -> None:
    opened = table(tmp_path, 'email,note\na@b.test,"One,\ntwo, a@b.test\n\nthree"\nc@d.test,\n')
    assert [line for line, _ in opened.rows(0)] == [2, 6]


def test_a_list_without_header_is_known_by_its_addresses(tmp_path: Path) -> None:
    opened = table(tmp_path, "Ada;ada@readers.test\nBola;bola@readers.test\n")
    assert not opened.has_header
    assert columns_of(opened).email == 1
    assert columns_of(opened, name="1").named == {"email": "2", "name": "1"}
    assert len(list(opened.rows(1))) == 2


@pytest.mark.parametrize(
    ("header", "row", "named"),
    [
        (
            "E-Mail-Adresse,Vorname",
            "a@b.test,A",
            {"email": "E-Mail-Adresse", "first_name": "Vorname"},
        ),
        ("who,kontakt", "A,a@b.test", {"email": "kontakt"}),
        ("email,language", "a@b.test,fr", {"email": "email", "locale": "language"}),
        ("email,language", "a@b.test,Wolof or so", {"email": "email"}),
        ("email,state", "a@b.test,Lagos", {"email": "email"}),
        ("email,state", "a@b.test,left", {"email": "email", "status": "state"}),
    ],
)
def test_columns_are_known_by_name_and_content(
    tmp_path: Path, header: str, row: str, named: dict[str, str]
) -> None:
    assert columns_of(table(tmp_path, f"{header}\n{row}\n")).named == named


@pytest.mark.parametrize(
    "content",
    [
        "email,E-Mail\na@b.test,c@d.test\n",
        "first,second\na@b.test,c@d.test\n",
        "first,second\nx,y\n",
    ],
)
def test_what_cannot_be_told_is_asked_with_the_columns(tmp_path: Path, content: str) -> None:
    with pytest.raises(UnclearColumns, match=r"--map email=COLUMN.*“") as unclear:
        columns_of(table(tmp_path, content))
    assert unclear.value.field == "email"
    assert len(unclear.value.columns) == 2
    second = unclear.value.columns[1]
    assert columns_of(table(tmp_path, content), email=second).email == 1


MAILCHIMP = (
    "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,"
    "LATITUDE,LONGITUDE,GMTOFF,DSTOFF,TIMEZONE,CC,REGION,LAST_CHANGED,LEID,EUID,NOTES,TAGS"
)
GHOST = (
    "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,"
    "deleted_at,labels,tiers"
)
SUBSTACK = "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at"
LISTMONK = "uuid,email,name,attributes,status,created_at,updated_at"


@pytest.mark.parametrize(
    ("name", "header", "row", "found"),
    [
        (
            "Mailchimp", MAILCHIMP,
            'ada@b.test,Ada,Obi,2,"2024-01-02 03:04:05",,"2024-01-02 04:00:00",,,,,,Africa/Lagos,,,'
            ',1,x,,"""VIP"""',
            ("Ada Obi", "subscribed", "2024-01-02T04:00:00", '{"tags": "\\"VIP\\""}'),
        ),
        (
            "Mailchimp", MAILCHIMP + ",UNSUB_TIME,UNSUB_REASON",
            'ada@b.test,Ada,,2,"2024-01-02 03:04:05",,,,,,,,,,,,1,x,,,"2025-01-01 00:00:00",bored',
            ("Ada", "unsubscribed", "2025-01-01T00:00:00", ""),
        ),
        (
            "Mailchimp", MAILCHIMP + ",CLEAN_TIME",
            'ada@b.test,Ada,,2,,,,,,,,,,,,,1,x,,,"2025-01-01 00:00:00"',
            ("Ada", "bounced", None, ""),
        ),
        (
            "Mailchimp", MAILCHIMP + ",Status",
            "ada@b.test,Ada,,2,,,,,,,,,,,,,1,x,,,Unsubscribed", ("Ada", "unsubscribed", None, ""),
        ),
        (
            "Substack", SUBSTACK, "ada@b.test,true,,yearly,false,2024-01-15T10:00:00.000Z,",
            ("", "subscribed", "2024-01-15T10:00:00", '{"plan": "yearly"}'),
        ),
        (
            "Substack", SUBSTACK, "ada@b.test,false,,,true,2024-01-15T10:00:00.000Z,",
            ("", "unsubscribed", None, ""),
        ),
        (
            "Ghost", GHOST, "1,ada@b.test,Ada,,true,false,,2018-12-25T20:43:22.178Z,,staff,",
            ("Ada", "subscribed", "2018-12-25T20:43:22.178000", '{"labels": "staff"}'),
        ),
        (
            "Ghost", GHOST, "1,ada@b.test,Ada,,false,false,,2018-12-25T20:43:22.178Z,,,",
            ("Ada", "unsubscribed", None, ""),
        ),
        (
            "listmonk", LISTMONK,
            'u,ada@b.test,Ada,"{""city"": ""Lagos"", ""age"": 3}",enabled,'
            "2021-01-02T03:04:05.678901Z,",
            ("Ada", "subscribed", "2021-01-02T03:04:05.678000", '{"city": "Lagos", "age": "3"}'),
        ),
        ("listmonk", LISTMONK, "u,ada@b.test,Ada,{},blocklisted,,", ("Ada", "blocked", None, "")),
        (
            "listmonk", LISTMONK + ",subscription_status",
            "u,ada@b.test,Ada,{},enabled,,,unsubscribed", ("Ada", "unsubscribed", None, ""),
        ),
        (
            "listmonk", LISTMONK + ",subscription_status",
            "u,ada@b.test,Ada,{},enabled,,,unconfirmed", ("Ada", "unconfirmed", None, ""),
        ),
        (
            "mailer", "subscriber_id,email,name,locale,timezone,state,subscriptions",
            "1,ada@b.test,Ada,fr,Africa/Lagos,left,weekly/updates=left",
            ("Ada", "unsubscribed", None, ""),
        ),
    ],
)  # fmt: skip
def test_exports_of_other_programs_are_recognised_with_who_has_left(
    tmp_path: Path, name: str, header: str, row: str, found: tuple[str, str, str | None, str]
) -> None:
    opened = table(tmp_path, f"{header}\n{row}\n")
    columns = columns_of(opened)
    assert columns.recognised == name
    read = only_row(opened, columns)
    since = None if read.stated_at is None else moment_of(read.stated_at).isoformat()[:-6]
    assert (read.name, read.standing, since, read.attributes) == found


@pytest.mark.parametrize(
    ("name", "standing"),
    [
        ("unsubscribed_email_audience_export_1.csv", "unsubscribed"),
        ("cleaned_email_audience_export_1.csv", "bounced"),
        ("nonsubscribed_email_audience_export_1.csv", "unconfirmed"),
        ("subscribed_email_audience_export_1.csv", "subscribed"),
    ],
)
def test_mailchimps_file_names_say_who_is_in_them(tmp_path: Path, name: str, standing: str) -> None:
    opened = table(tmp_path, f"{MAILCHIMP}\nada@b.test,Ada,,2,,,,,,,,,,,,,1,x,,\n", name)
    assert only_row(opened, columns_of(opened)).standing == standing


def only_row(opened: Table, columns: Columns, *, asks: bool = True) -> ListRow:
    """Read the only row."""
    reader = RowReader(Reading(columns, len(opened.columns), b"key", NOW, None, None, asks))
    [(line, cells)] = opened.rows(columns.email)
    return reader.read(line, cells)


@pytest.mark.parametrize(
    ("header", "row", "reason"),
    [
        ("email,name", "ada@b.test", "1 cells, and the header has 2"),
        ("email,name", ",Ada", "no address"),
        ("email,name", "nobody,Ada", "must have an @-sign"),
        ("email,name", "a\0da@b.test,Ada", "one line of readable characters"),
        ("email,name", f"ada@b.test,{'x' * 101}", "more than 100 characters"),
        ("email,name", 'ada@b.test,"A\nB"', "one line without control characters"),
        ("email,status", "ada@b.test,gone fishing", "“gone fishing” is not known"),
        ("email,status", "ada@b.test,", "“” is not known"),
        ("email,status", "ada@b.test,pending", "has not confirmed there"),
        ("email,consent date", "ada@b.test,2031-01-01", "lies ahead"),
    ],
)
def test_a_bad_row_is_rejected_with_a_reason(
    tmp_path: Path, header: str, row: str, reason: str
) -> None:
    opened = table(tmp_path, f"{header}\n{row}\n")
    with pytest.raises(BadRow, match=reason):
        only_row(opened, columns_of(opened, email="email"), asks=False)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-02-01", datetime(2024, 2, 1, tzinfo=UTC)),
        ("2024-02-01 10:30:00", datetime(2024, 2, 1, 10, 30, tzinfo=UTC)),
        ("2024-02-01T10:30:00.123+01:00", datetime(2024, 2, 1, 9, 30, 0, 123000, tzinfo=UTC)),
        ("2024-02-01 10:30:00 UTC", datetime(2024, 2, 1, 10, 30, tzinfo=UTC)),
        ("1.2.2024 10:30", datetime(2024, 2, 1, 10, 30, tzinfo=UTC)),
        ("02/01/2024", None),
        ("31.2.2024", None),
        ("0001-01-01", None),
        ("yes", None),
    ],
)
def test_dates_are_read_where_they_mean_one_day(text: str, moment: datetime | None) -> None:
    assert parse_moment(text) == moment


def test_a_span_is_counted_as_the_law_counts() -> None:
    day = datetime(2024, 2, 29, tzinfo=UTC)
    assert parse_span("2y") == Span(24, 0)
    assert parse_span("2y").after(day) == datetime(2026, 2, 28, tzinfo=UTC)
    assert parse_span("6mo").after(datetime(2024, 8, 31, tzinfo=UTC)).day == 28
    assert parse_span("90d").after(day) == datetime(2024, 5, 29, tzinfo=UTC)
    for wrong in ("", "2", "y", "0d", "6m", "²y", "-1y", "99999d"):
        with pytest.raises(BadSpan, match="no span of time"):
            parse_span(wrong)
    with pytest.raises(BadSpan, match="“9999y” is too long"):
        parse_span("9999y").after(day)


def row_of(hashed: str, line: int, standing: Standing = Standing.SUBSCRIBED) -> ListRow:
    """A row of which only this matters."""
    return ListRow(hashed, line, "", "", "", "", "", "", standing.value, None)


def test_of_two_rows_for_one_reader_the_one_that_says_no_counts() -> None:
    rows = [
        row_of("aa", 3), row_of("aa", 9), row_of("bb", 4),
        row_of("bb", 7, Standing.UNSUBSCRIBED), row_of("bb", 8, Standing.BOUNCED),
    ]  # fmt: skip
    assert list(readers_of(rows)) == [Reader(rows[0], (9,)), Reader(rows[4], (4, 7))]


@given(st.lists(st.integers(0, 2**16 - 1), max_size=300), st.integers(0, 320))
def test_the_spool_gives_every_row_back_in_the_order_of_hashes(
    numbers: list[int], done: int
) -> None:
    spool = Spool(Path("/tmp"))
    rows = [row_of(f"{number:04x}", line) for line, number in enumerate(numbers)]
    for row in rows:
        spool.add(tuple(row))
    spool.finish()
    back = list(unpacked(spool.raw(range(BUCKETS))))
    rest = [
        row
        for stretch in stretches(spool, done)
        for row in list(unpacked(spool.raw(stretch.buckets)))[stretch.done :]
    ]
    spool.close()
    assert back == sorted(rows)
    assert rest == sorted(rows)[done:]
