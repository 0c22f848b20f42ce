"""A list of readers comes in: whole, once, and never against what a reader said."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import building as b
import pytest
from sqlalchemy import func, select

from mailer.domain.consent import Basis, ConsentState, Method
from mailer.domain.errors import Refusal
from mailer.domain.importing import Outcome
from mailer.domain.leaves import Leaf, commitment, commitment_key
from mailer.domain.spans import Span
from mailer.domain.suppression import SuppressionReason
from mailer.lists.encoding import BrokenList
from mailer.services.adding import AddOutcome, add_reader
from mailer.services.audit import Audit
from mailer.services.import_known import Desk
from mailer.services.import_order import CannotImport, ImportOrder
from mailer.services.importing import Surroundings, import_list
from mailer.services.lookup import NotFound
from mailer.services.notices import current_notice
from mailer.services.preferences import withdraw
from mailer.store.consents import Evidence, ShownNotice, notice_ref, record
from mailer.store.models import (
    ConsentEvent,
    ConsentEvidence,
    ImportRun,
    JournalPending,
    Newsletter,
    Notice,
    OperatorAction,
    PendingLeaf,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
    delivery,
)
from mailer.store.readers import ReaderDetails, find_or_add_reader, find_reader
from mailer.store.suppressions import suppress
from mailer.store.vault import Vault
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

OUTCOMES = [str(outcome) for outcome in Outcome]


def surroundings(
    parts: Parts, progress: Callable[[str, int, int], object] | None = None
) -> Surroundings:
    """What an import needs, of these parts."""
    return Surroundings(
        sessions=parts.sessions,
        desk=Desk(parts.renderer, parts.suppression_key, parts.now),
        folder=parts.settings.home,
        operator=parts.operator,
        pause=lambda: None,
        progress=progress or (lambda doing, done, total: None),
    )


def write_list(path: Path, *rows: str) -> Path:
    """Write a CSV file of these lines."""
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def take_in(parts: Parts, path: Path, *, dry_run: bool = False, **more: Any) -> dict[str, Any]:
    """Import a file into the weekly; the numbers add up."""
    order = ImportOrder(
        **{
            "newsletter": "weekly",
            "path": path,
            "purposes": ("updates",),
            "source": "paper",
            **more,
        }
    )
    report = import_list(order, surroundings(parts), dry_run=dry_run)
    assert sum(report[outcome] for outcome in OUTCOMES) == report["rows"]
    return report


def counts(report: dict[str, Any]) -> dict[str, int]:
    """The outcomes that there were."""
    return {outcome: report[outcome] for outcome in OUTCOMES if report[outcome]}


@pytest.fixture
def made(parts: Parts) -> None:
    """A newsletter."""
    with parts.sessions.begin() as session:
        b.newsletter(session)


def everything(parts: Parts) -> dict[str, list[Any]]:
    """All that an import could write."""
    tables = (
        Subscriber, Subscription, ConsentEvent, ConsentEvidence, PendingLeaf, Suppression,
        ImportRun, OperatorAction,
    )  # fmt: skip
    with parts.sessions() as session:
        return {
            table.__tablename__: session.execute(
                select(table.__table__).order_by(*table.__table__.primary_key)
            ).all()
            for table in tables
        }


def standing(parts: Parts) -> dict[str, dict[str, str]]:
    """Address → purpose → state."""
    found: dict[str, dict[str, str]] = {}
    with parts.sessions() as session:
        rows = session.execute(
            select(Subscriber.email, Purpose.slug, Subscription.state)
            .outerjoin(Subscription, Subscription.subscriber_id == Subscriber.id)
            .outerjoin(Purpose, Purpose.id == Subscription.purpose_id)
        )
        for email, slug, state in rows:
            found.setdefault(email, {})
            if slug:
                found[email][slug] = state
    return found


def refuse_unsound(parts: Parts) -> None:
    """Every event is a leaf that its columns hash to, with evidence that opens and fits."""
    with parts.sessions() as session:
        vault = Vault.of(session)
        rows = session.execute(
            select(ConsentEvent, Newsletter.slug, Purpose.slug, Subscriber.sealed_key)
            .join(Newsletter, Newsletter.id == ConsentEvent.newsletter_id)
            .join(Purpose, Purpose.id == ConsentEvent.purpose_id)
            .join(Subscriber, Subscriber.id == ConsentEvent.subscriber_id)
        ).all()
        pending = set(session.scalars(select(PendingLeaf.event)))
        sealed = dict(session.execute(select(ConsentEvidence.event, ConsentEvidence.sealed)).all())
        assert pending == set(sealed) == {row[0].id for row in rows}
        for event, newsletter, purpose, sealed_key in rows:
            key = vault.open_key(sealed_key)
            personal = vault.open(key, event.event_id, sealed[event.id])
            committed = commitment(commitment_key(key, event.event_id), personal)
            notice = session.get(Notice, event.notice_id) if event.notice_id else None
            leaf = Leaf(
                event.event_id, event.at, newsletter, purpose, event.subscriber_id, event.state,
                event.method, event.basis,
                notice_ref(ShownNotice(notice, event.notice_assumed)) if notice else None,
                committed, event.stated_at, event.valid_until,
            )  # fmt: skip
            assert (event.commitment, event.leaf_hash) == (committed, leaf.hash)
    audit = Audit(parts.sessions, notary=parts.notary, home=parts.settings.home)
    assert [each for each in audit.findings() if not each.kind.is_note] == []


@pytest.mark.usefixtures("made")
def test_readers_come_in_active_with_their_consent_and_where_it_is_from(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(
        tmp_path / "list.csv",
        "E-Mail,First Name,Last Name,Optin Time,Stadt",
        "ada@readers.test,Ada,Obi,2024-02-01 10:00,Lagos",
        "Bola@Readers.test,Bola,,24.12.2023,",
        "jörg@bücher.example,Jörg,,,",
    )
    report = take_in(
        parts, path, purposes=("updates", "partner-promotions"), columns={"attribute.city": "Stadt"}
    )
    assert counts(report) == {"new": 3}
    assert report["columns"] == {
        "email": "E-Mail", "first_name": "First Name", "last_name": "Last Name",
        "stated_at": "Optin Time", "attribute.city": "Stadt",
    }  # fmt: skip
    both = {"updates": "active", "partner-promotions": "active"}
    assert standing(parts) == dict.fromkeys(
        ("ada@readers.test", "Bola@readers.test", "jörg@bücher.example"), both
    )
    refuse_unsound(parts)
    with parts.sessions() as session:
        ada = session.scalars(select(Subscriber).where(Subscriber.name == "Ada Obi")).one()
        assert ada.attributes == {"city": "Lagos"}
        events = session.scalars(
            select(ConsentEvent).where(ConsentEvent.subscriber_id == ada.id)
        ).all()
        assert {
            (event.state, event.method, f"{event.stated_at:%Y-%m-%d %H}") for event in events
        } == {("given", "import", "2024-02-01 10")}
        assert session.scalar(select(func.count()).select_from(delivery)) == 0
        acts = session.scalars(select(OperatorAction).order_by(OperatorAction.id)).all()
        assert [act.details["finished"] for act in acts] == [False, True]
        assert acts[1].operator == parts.operator
        assert acts[1].details["counts"]["new"] == 3
    assert {each["source"] for each in b.evidences(parts)} == {
        f"paper (list.csv, line {line})" for line in (2, 3, 4)
    }


@pytest.mark.usefixtures("made")
def test_importing_again_changes_nothing_and_says_so(parts: Parts, tmp_path: Path) -> None:
    rows = [f"reader{number}@readers.test" for number in range(40)]
    path = write_list(tmp_path / "list.csv", "email", *rows, "READER1@readers.test", "nobody")
    first = take_in(parts, path)
    assert counts(first) == {"new": 40, "doubled": 1, "rejected": 1}
    assert first["examples"]["doubled"] == [{"line": 42, "same_as_line": 3}]
    before = everything(parts)
    for purposes in (("updates",), ("updates", "updates")):
        again = take_in(parts, path, purposes=purposes)
        assert counts(again) == {"already": 40, "doubled": 1, "rejected": 1}
        assert again["imported_before"]
    assert everything(parts) == before
    other = take_in(parts, path, source="another day")  # other terms: looked at anew
    assert counts(other) == {"already": 40, "doubled": 1, "rejected": 1}
    assert everything(parts)["consent_event"] == before["consent_event"]


@pytest.mark.usefixtures("made")
def test_a_dry_run_foresees_every_number_and_writes_nothing(parts: Parts, tmp_path: Path) -> None:
    path = _known_people(parts, tmp_path)
    before, files = everything(parts), sorted(tmp_path.rglob("*"))
    foreseen = take_in(parts, path, dry_run=True)
    assert everything(parts) == before
    assert [each for each in sorted(tmp_path.rglob("*")) if "-wal" not in each.name] == [
        each for each in files if "-wal" not in each.name
    ]
    done = take_in(parts, path)
    assert counts(foreseen) == counts(done)
    assert foreseen["examples"]["rejected"] == done["examples"]["rejected"]
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_nobody_comes_back_who_left_refused_complained_or_is_suppressed(
    parts: Parts, tmp_path: Path
) -> None:
    path = _known_people(parts, tmp_path)
    before = standing(parts)
    report = take_in(parts, path)
    assert counts(report) == {
        "new": 3, "already": 1, "stays_away": 2, "suppressed": 2, "doubled": 1, "rejected": 1,
    }  # fmt: skip
    after = standing(parts)
    assert after == {
        **before,
        "expired@readers.test": {"updates": "active"},
        "pending@readers.test": {"updates": "active"},
        "New@readers.test": {"updates": "active"},
    }


def _known_people(parts: Parts, tmp_path: Path) -> Path:
    """Readers in every state, and a list with all of them."""
    with parts.sessions.begin() as session:
        updates = session.scalars(select(Purpose).where(Purpose.slug == "updates")).one()
        _say(parts, session, updates, "active", ConsentState.GIVEN)
        _say(parts, session, updates, "pending", ConsentState.REQUESTED)
        _say(parts, session, updates, "left", ConsentState.GIVEN, ConsentState.WITHDRAWN)
        _say(parts, session, updates, "refused", ConsentState.REFUSED)
        _say(parts, session, updates, "expired", ConsentState.GIVEN, ConsentState.EXPIRED)
        for name, scope in (("complained", "all"), ("suppressed", "weekly"), ("other", "daily")):
            hashed = b.address_hash(b.parse_address(f"{name}@readers.test"), parts.suppression_key)
            suppress(session, hashed, SuppressionReason.COMPLAINT, now=b.NOW, scope=scope)
    names = ("active", "pending", "left", "refused", "expired", "complained", "suppressed", "new")
    return write_list(
        tmp_path / "list.csv",
        "email,name",
        *(f"{name.capitalize()}@readers.test,x" for name in names),
        "NEW@readers.test,y",
        "no address,y",
    )


def _say(parts: Parts, session: Any, purpose: Purpose, name: str, *states: ConsentState) -> None:
    address = b.parse_address(f"{name}@readers.test")
    reader = find_or_add_reader(session, address, parts.suppression_key, now=b.NOW)
    for state in states:
        record(session, reader, purpose, state, Evidence(Method.FORM), now=b.NOW)


@pytest.mark.usefixtures("made")
def test_who_left_elsewhere_stays_away_here_and_from_later_lists(
    parts: Parts, tmp_path: Path
) -> None:
    known = _known_people(parts, tmp_path)
    path = write_list(
        tmp_path / "status.csv",
        "email,status,unsubscribed_at",
        "active@readers.test,unsubscribed,2025-01-05",
        "pending@readers.test,Unsubscribed,",
        "expired@readers.test,opted-out,",
        "new@readers.test,unsubscribed,",
        "twice@readers.test,subscribed,",
        "TWICE@readers.test,unsubscribed,",
        "gone@readers.test,hard bounced,",
        "angry@readers.test,complained,",
        "listed@readers.test,blocklisted,",
        "never@readers.test,pending,",
        "odd@readers.test,VIP,",
    )
    report = take_in(parts, path)
    assert counts(report) == {"left": 5, "suppressed": 3, "doubled": 1, "rejected": 2}
    assert [each["line"] for each in report["examples"]["rejected"]] == [11, 12]
    with parts.sessions() as session:
        reasons = Counter(session.scalars(select(Suppression.reason)))
        assert reasons == {"complaint": 4, "hard-bounce": 1, "operator": 1}
        reader = find_reader(session, b.parse_address("active@readers.test"), parts.suppression_key)
        assert reader
        last = session.scalars(
            select(ConsentEvent)
            .where(ConsentEvent.subscriber_id == reader.id)
            .order_by(ConsentEvent.id.desc())
        ).first()
        assert last
        assert (last.state, last.method) == ("withdrawn", "import")
        assert last.stated_at
    states = {address.lower(): state for address, state in standing(parts).items()}
    assert states["active@readers.test"] == {"updates": "left"}
    for name in ("pending", "expired", "new", "twice"):
        assert states[f"{name}@readers.test"] == {"updates": "refused"}
    assert _told(parts) >= {
        ("withdrawals", "withdrawn", "active@readers.test"),
        *(
            ("withdrawals", "refused", f"{name}@readers.test")
            for name in ("expired", "new", "twice")
        ),
        ("suppressions", "hard-bounce", "gone@readers.test"),
    }
    assert counts(take_in(parts, known)) == {
        "stays_away": 6, "suppressed": 2, "doubled": 1, "rejected": 1,
    }  # fmt: skip
    again = take_in(parts, path, source="once more")
    assert counts(again) == {"stays_away": 5, "suppressed": 3, "doubled": 1, "rejected": 2}
    refuse_unsound(parts)


def _told(parts: Parts) -> set[tuple[str, str, str]]:
    """What the witness folder is to learn: journal, word and address."""
    names = ("active", "pending", "expired", "new", "twice", "gone", "angry", "listed")
    addresses = {
        b.address_hash(b.parse_address(f"{name}@readers.test"), parts.suppression_key): name
        for name in names
    }
    with parts.sessions() as session:
        return {
            (
                each.journal,
                each.line.get("state") or each.line["reason"],
                f"{addresses[each.line['address_hash']]}@readers.test",
            )
            for each in session.scalars(select(JournalPending))
            if each.line["address_hash"] in addresses
        }


@pytest.mark.usefixtures("made")
def test_an_implied_consent_ends_by_itself_and_one_that_has_ended_does_not_come_in(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(
        tmp_path / "buyers.csv", "email,bought", "ada@readers.test,2025-12-31",
        "old@readers.test,2020-01-01", "bola@readers.test,",
    )  # fmt: skip
    report = take_in(
        parts, path, basis=Basis.IMPLIED, valid_for=Span(14, 0), columns={"stated_at": "bought"}
    )
    assert counts(report) == {"new": 2, "rejected": 1}
    assert report["examples"]["rejected"][0]["reason"] == "the implied consent ended on 2021-03-01"
    with parts.sessions() as session:
        for table in (Subscription, ConsentEvent):
            ends = {f"{each:%Y-%m-%d}" for each in session.scalars(select(table.valid_until))}
            assert "2027-02-28" in ends
            assert len(ends) == 2
        assert set(session.scalars(select(ConsentEvent.basis))) == {"implied"}
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_the_wording_that_is_known_stands_in_the_events(parts: Parts, tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.csv", "email", "ada@readers.test")
    take_in(parts, path, notice="1")
    with parts.sessions() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        notice = current_notice(session, newsletter, "en")
        event = session.scalars(select(ConsentEvent)).one()
        assert notice
        assert (event.notice_id, event.notice_assumed) == (notice.id, False)
        sha256 = notice.sha256
    refuse_unsound(parts)
    report = take_in(parts, path, notice=sha256)
    assert report["imported_before"]
    with pytest.raises(CannotImport, match="no notice “9”"):
        take_in(parts, path, notice="9")


@pytest.mark.usefixtures("made")
def test_readers_who_are_asked_get_one_confirmation_and_are_mailed_nothing_else(
    parts: Parts, tmp_path: Path
) -> None:
    known = _known_people(parts, tmp_path)
    path = write_list(
        tmp_path / "ask.csv", "email,status", "ada@readers.test,subscribed",
        "bola@readers.test,unconfirmed", "left@readers.test,subscribed",
        "active@readers.test,subscribed", "cleo@readers.test,unsubscribed",
    )  # fmt: skip
    foreseen = take_in(parts, path, confirm=True, dry_run=True)
    report = take_in(parts, path, confirm=True)
    assert counts(report) == {"new": 2, "already": 1, "stays_away": 1, "left": 1}
    assert counts(report) == counts(foreseen)
    assert take_in(parts, path, confirm=True)["imported_before"]
    transport = MemoryTransport()
    b.send_all(parts, transport)
    assert sorted(envelope.recipient for envelope, _ in transport.accepted) == [
        "ada@readers.test", "bola@readers.test",
    ]  # fmt: skip
    states = standing(parts)
    assert states["ada@readers.test"] == states["bola@readers.test"] == {"updates": "pending"}
    assert known.exists()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.usefixtures("made")
def test_a_list_does_what_adding_its_readers_one_by_one_does(
    parts: Parts, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    purposes = ("updates", "partner-promotions")
    _random_past(parts, rng)
    rows = [
        (_spelled(rng, f"reader{number}@readers.test"), rng.choice(("", "", "Lagos", "Abuja")))
        for number in rng.sample(range(60), 60)
    ]
    path = write_list(tmp_path / "list.csv", "email,city", *(",".join(row) for row in rows))
    expected, outcomes = _one_by_one(parts, rows, purposes)
    report = take_in(parts, path, purposes=purposes, columns={"attribute.city": "city"})
    assert _left_behind(parts) == expected
    assert counts(report) == outcomes
    refuse_unsound(parts)


def _spelled(rng: random.Random, address: str) -> str:
    return address.upper() if rng.random() < 0.2 else address


def _random_past(parts: Parts, rng: random.Random) -> None:
    """Readers who have said this and that before; some are suppressed."""
    with parts.sessions.begin() as session:
        purposes = session.scalars(select(Purpose)).all()
        for number in rng.sample(range(60), 35):
            address = b.parse_address(f"reader{number}@readers.test")
            reader = find_or_add_reader(
                session, address, parts.suppression_key, ReaderDetails(name="Known"), now=b.NOW
            )
            for purpose in rng.sample(purposes, rng.randint(0, 2)):
                for state in rng.choices(list(ConsentState), k=rng.randint(1, 3)):
                    record(session, reader, purpose, state, Evidence(Method.FORM), now=b.NOW)
            if rng.random() < 0.1:
                scope = rng.choice(("all", "weekly", "daily"))
                reason = SuppressionReason.OPERATOR
                suppress(session, reader.address_hash, reason, now=b.NOW, scope=scope)


def _one_by_one(
    parts: Parts, rows: list[tuple[str, str]], purposes: tuple[str, ...]
) -> tuple[Any, dict[str, int]]:
    """Add the readers one by one and return what that leaves behind; then take it all back."""
    outcomes: Counter[str] = Counter()
    with parts.sessions() as session:
        newsletter = session.scalars(select(Newsletter)).one()
        for line, (address, city) in enumerate(rows, 2):
            outcome = add_reader(
                session, newsletter, b.parse_address(address), purposes=purposes,
                details=ReaderDetails(), attributes={"city": city} if city else {},
                evidence=Evidence(Method.IMPORT, source=f"paper (list.csv, line {line})"),
                renderer=parts.renderer, confirm=False, suppression_key=parts.suppression_key,
                now=parts.now(),
            )  # fmt: skip
            outcomes[_NAMES[outcome]] += 1
        left = _of_session(session)
        session.rollback()
    return left, dict(sorted(outcomes.items(), key=lambda each: OUTCOMES.index(each[0])))


_NAMES = {
    AddOutcome.ADDED: "new", AddOutcome.ALREADY: "already", AddOutcome.STAYS_AWAY: "stays_away",
    AddOutcome.SUPPRESSED: "suppressed",
}  # fmt: skip


def _left_behind(parts: Parts) -> Any:
    with parts.sessions() as session:
        return _of_session(session)


def _of_session(session: Any) -> Any:
    """Readers, subscriptions and events with their evidence, without numbers and times of day."""
    vault = Vault.of(session)
    readers = session.execute(
        select(Subscriber.email, Subscriber.name, Subscriber.attributes, Subscriber.provider)
    )
    subscriptions = session.execute(
        select(
            Subscriber.email, Subscription.purpose_id, Subscription.newsletter_id,
            Subscription.state, Subscription.valid_until, Subscription.request,
            Subscription.details,
        ).join(Subscription, Subscription.subscriber_id == Subscriber.id)
    )  # fmt: skip
    events = session.execute(
        select(Subscriber, ConsentEvent, ConsentEvidence.sealed)
        .join(ConsentEvent, ConsentEvent.subscriber_id == Subscriber.id)
        .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
    )
    said = [
        (
            reader.email, event.newsletter_id, event.purpose_id, event.state, event.method,
            event.basis, event.notice_id, event.stated_at, event.valid_until,
            vault.open(vault.open_key(reader.sealed_key), event.event_id, sealed),
        )
        for reader, event, sealed in events
    ]  # fmt: skip
    return [sorted(map(repr, rows)) for rows in (readers, subscriptions, said)]


class PulledOut(Exception):
    """The power goes here."""


@pytest.mark.usefixtures("made")
def test_an_interrupted_import_goes_on_where_it_stopped(parts: Parts, tmp_path: Path) -> None:
    rng = random.Random(7)
    rows = [f"reader{number}@readers.test" for number in range(4_000)]
    rows += [*rng.sample(rows, 30), "nobody"]
    path = write_list(tmp_path / "list.csv", "email", *rows)
    order = ImportOrder("weekly", path, ("updates",), "paper")
    interrupted = 0
    for after in range(1, 30):

        def pull(doing: str, done: int, total: int, left: list[int] = [after]) -> None:  # noqa: B006
            if doing == "importing":
                left[0] -= 1
                if not left[0]:
                    raise PulledOut

        try:
            report = import_list(order, surroundings(parts, pull), dry_run=False)
        except PulledOut:
            interrupted += 1
        else:
            break
    assert interrupted > 1
    assert counts(report) == {"new": 4_000, "doubled": 30, "rejected": 1}
    assert report["resumed_at"] > 0
    with parts.sessions() as session:
        for table in (Subscriber, Subscription, ConsentEvent, ConsentEvidence, PendingLeaf):
            assert session.scalar(select(func.count()).select_from(table)) == 4_000
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_a_broken_quote_far_down_is_named_and_nothing_comes_in(
    parts: Parts, tmp_path: Path
) -> None:
    rows = [f'reader{number}@readers.test,"Reader"' for number in range(9_000)]
    rows[8_000] = 'reader8000@readers.test,"Reader'
    path = write_list(tmp_path / "list.csv", "email,name", *rows)
    before = everything(parts)
    with pytest.raises(BrokenList, match="line 8002: ") as broken:
        take_in(parts, path)
    assert "Nothing was imported" in str(broken.value)
    assert everything(parts) == before


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"newsletter": "daily"}, NotFound, "no newsletter “daily”"),
        ({"purposes": ("sport",)}, NotFound, "no purpose “sport”"),
        ({"purposes": ()}, CannotImport, "--purpose"),
        ({"source": " "}, CannotImport, "--source"),
        ({"columns": {"email": "Post"}}, Refusal, "no column “Post”"),
        ({"confirm": True, "basis": Basis.IMPLIED}, CannotImport, "--confirm"),
        ({"valid_for": Span(24, 0)}, CannotImport, "--valid-for"),
        ({"encoding": "klingon"}, BrokenList, "no encoding"),
    ],
)
@pytest.mark.usefixtures("made")
def test_what_cannot_be_done_is_said_before_anything_is_written(
    parts: Parts, tmp_path: Path, more: dict[str, Any], kind: type[Refusal], words: str
) -> None:
    path = write_list(tmp_path / "list.csv", "email,name", "ada@readers.test,Ada")
    before = everything(parts)
    with pytest.raises(kind, match=words):
        take_in(parts, path, **more)
    assert everything(parts) == before


@pytest.mark.usefixtures("made")
def test_who_signs_up_or_is_suppressed_in_the_middle_of_a_transaction_is_seen(
    parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL others write while we do; SQLite lets nobody else write meanwhile."""
    if parts.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    from mailer.services import import_writing

    insert_new, meanwhile = import_writing.insert_new, ["ada", "bola"]

    def hurried(session: Any, *prepared: Any) -> None:
        if meanwhile:
            name = meanwhile.pop()
            with parts.sessions.begin() as other:
                newsletter = other.scalars(select(Newsletter)).one()
                if name == "ada":
                    b.sign_up(parts, other, newsletter, "ada@readers.test")
                else:
                    address = b.parse_address(f"{name}@readers.test")
                    hashed = b.address_hash(address, parts.suppression_key)
                    suppress(other, hashed, SuppressionReason.ERASURE, now=b.NOW)
        insert_new(session, *prepared)

    monkeypatch.setattr(import_writing, "insert_new", hurried)
    path = write_list(
        tmp_path / "list.csv",
        "email",
        *(f"{name}@readers.test" for name in ("ada", "bola", "cleo")),
    )
    assert counts(take_in(parts, path)) == {"new": 2, "suppressed": 1}
    assert standing(parts) == {
        "ada@readers.test": {"updates": "active"}, "cleo@readers.test": {"updates": "active"},
    }  # fmt: skip
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_bad_rows_go_to_a_file_of_our_own_with_reasons_and_no_formula_lives_in_it(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(
        tmp_path / "list.csv", "email,name", "=cmd|' /C calc'!A0,+1", "ada@readers.test,Ada",
        '@x,"\tTab"', "too,many,cells", "bo\0la@readers.test,Bola", "cleo@readers.test,a\0b",
    )  # fmt: skip
    report = take_in(parts, path)
    assert counts(report) == {"new": 1, "rejected": 5}
    rejects = tmp_path / "list.csv.rejected.csv"
    assert report["rejects"] == str(rejects)
    assert rejects.stat().st_mode & 0o777 == 0o600
    with rejects.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "email", "name"]
    assert [row[0] for row in rows] == ["2", "4", "5", "6", "7"]
    assert all(row[1] for row in rows)
    assert rows[0][2:] == ["'=cmd|' /C calc'!A0", "'+1"]
    assert rows[1][2:] == ["'@x", "'\tTab"]
    assert not any(cell[:1] in "=+-@\t\r" for row in rows for cell in row[2:] if cell)
    mended = write_list(tmp_path / "mended.csv", "line,email,name", "2,bola@readers.test,'=Bola")
    assert counts(take_in(parts, mended)) == {"new": 1}
    with parts.sessions() as session:  # the apostrophe was ours
        assert set(session.scalars(select(Subscriber.name))) == {"Ada", "=Bola"}
    (tmp_path / "mine.csv").write_text("something else")
    with pytest.raises(Refusal, match="is no reject file"):
        take_in(parts, path, source="another", rejects=tmp_path / "mine.csv")


@pytest.mark.usefixtures("made")
def test_a_long_list_is_prepared_by_a_process_of_its_own(parts: Parts, tmp_path: Path) -> None:
    rows = [f"reader{number}@readers.test,{'Amina ' * 4}" for number in range(5_500)]
    path = write_list(tmp_path / "list.csv", "email,name", *rows, "nobody,")
    assert counts(take_in(parts, path)) == {"new": 5_500, "rejected": 1}
    with parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(ConsentEvent)) == 5_500
    refuse_unsound(parts)


@pytest.mark.usefixtures("made")
def test_who_leaves_after_the_import_is_mailed_no_more_and_who_is_known_keeps_their_key(
    parts: Parts, tmp_path: Path
) -> None:
    path = write_list(tmp_path / "list.csv", "email", "ada@readers.test")
    take_in(parts, path)
    with parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).one()
        key = reader.sealed_key
        withdraw(session, reader, Evidence(Method.ONE_CLICK), now=parts.now())
    assert counts(take_in(parts, path, source="later")) == {"stays_away": 1}
    more = take_in(parts, path, source="later", purposes=("partner-promotions",))
    assert counts(more) == {"new": 1}
    with parts.sessions() as session:
        assert session.scalars(select(Subscriber)).one().sealed_key == key
    assert standing(parts) == {
        "ada@readers.test": {"updates": "left", "partner-promotions": "active"}
    }
    refuse_unsound(parts)
