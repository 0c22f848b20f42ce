"""`mailer privacy erase`, with real processes: a person is planted everywhere, and then is nowhere.

The search is shown to find the plant before it is believed to find nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import building as b
import httpx2
import psycopg
import pytest
import servers
from processes import WITHIN, clean_environment, running, until
from psycopg import sql
from sink import Sink, accepted_by, sink_in_a_thread
from spellings import Search, wire
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from mailer.domain.consent import ConsentState, Method
from mailer.domain.leaves import Leaf, canonical, commitment, commitment_key, hash_of_leaf
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.reports import report
from mailer.settings import Settings, load
from mailer.store.backup import integrity_problems
from mailer.store.consents import Evidence, ShownNotice, notice_ref, record
from mailer.store.models import (
    Campaign,
    ConsentEvent,
    ConsentEvidence,
    Feedback,
    Newsletter,
    Notice,
    Purpose,
    Subscriber,
    delivery,
)
from mailer.store.readers import ReaderDetails, find_or_add_reader
from mailer.store.vault import Vault
from mailer.transports.capture import Mailbox
from mailer.wiring import Parts, initialise, open_parts

NAME = "Zoë Ñandú-Okonkwo"
ADDRESS = "Zoe.Ñandú+Dispatch@bücher-okonkwo.test"
IP = "203.0.113.77"
BROWSER = "Okonkwo's own browser/7.25"
SOURCE = "paper list of Zoë Ñandú-Okonkwo, 2019"
SOUGHT = {
    "address": ADDRESS,
    "address on the wire": wire(ADDRESS),
    "local part": "Zoe.Ñandú",
    "domain": "bücher-okonkwo",
    "name": NAME,
    "IP": IP,
}
DECLINED = f"550 5.1.1 <{wire(ADDRESS)}> {NAME} (Zoe.Ñandú) is unknown, asked from {IP}"
BYSTANDERS = 120


@dataclass
class Installation:
    """A home with its processes, and whoever looks into it."""

    home: Path
    environment: dict[str, str]

    def mailer(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run `mailer …` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "mailer", *arguments], env={**self.environment, **more},
            capture_output=True, text=True, timeout=WITHIN, check=False,
        )  # fmt: skip

    def done(self, *arguments: str, **more: str) -> Any:
        """Run `mailer … --json`; return what it answers."""
        ended = self.mailer(*arguments, "--json", **more)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    @contextmanager
    def up(self) -> Iterator[httpx2.Client]:
        """Run `mailer up`; yields a reader's browser, which comes through a proxy."""
        base = f"http://{self.environment['MAILER_BIND']}"
        headers = {"X-Forwarded-For": IP, "User-Agent": BROWSER}
        with (
            running(["up"], self.environment, self.home.parent / "up.log"),
            httpx2.Client(base_url=base, headers=headers, trust_env=False) as browser,
        ):
            until(lambda: _ready(browser), "the web process")
            yield browser

    @contextmanager
    def parts(self) -> Iterator[Parts]:
        """Open the installation in this process."""
        parts = open_parts(self.settings)
        yield parts
        parts.engine.dispose()

    @property
    def settings(self) -> Settings:
        """Its settings, with the keys that it has by now."""
        given = {name: value for name, value in self.environment.items() if "MAILER_" in name}
        return load(given, directory=self.home.parent)

    @property
    def inbox(self) -> Mailbox:
        """The built-in inbox."""
        return Mailbox(self.home / "inbox")

    def mail_to(self, subject: str, address: str = ADDRESS) -> str:
        """Wait for a mail in the inbox; return its text."""
        found: list[str] = []

        def look() -> bool:
            mails = [each for each in map(self.inbox.get, self.inbox.ids()) if each]
            found.extend(
                each.part("plain")
                for each in mails
                if wire(address).lower() in each.to.lower() and subject in each.subject
            )
            return bool(found)

        until(look, f"a mail “{subject}”")
        return found[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Installation:
    """A fresh home, with a newsletter that readers can sign up to."""
    home = tmp_path / "home"
    environment = clean_environment(
        MAILER_HOME=str(home),
        MAILER_BIND=f"127.0.0.1:{servers.free_port()}",
        MAILER_TRUSTED_PROXIES="127.0.0.1",
    )
    if request.param == "postgresql":
        url = _postgres(request.getfixturevalue("postgres_server"))
        environment["MAILER_DATABASE_URL"] = url
    made = Installation(home, environment)
    initialise(made.settings)
    with made.parts() as parts, parts.sessions.begin() as session:
        for slug in ("weekly", "daily"):
            b.newsletter(session, slug)
        weekly = session.scalars(select(Newsletter)).first()
        assert weekly
        for _ in range(2):
            create_campaign(
                session, weekly, purpose="updates", subject="Friday", html="<p>It is Friday.</p>",
                now=parts.now(),
            )  # fmt: skip
    return made


def test_nothing_under_the_home_or_in_the_database_knows_an_erased_reader(
    installation: Installation, tmp_path: Path
) -> None:
    plant(installation, tmp_path / "accepted")
    search, keys, proof = Search(SOUGHT), sealed(installation), saved_proof(installation)
    before = search_all(installation, search, keys)
    assert {what for hits in before.values() for what in hits} == {*SOUGHT, *keys}
    assert_planted_widely(installation, before)
    with installation.up():
        answer = installation.done("privacy", "erase", ADDRESS.lower(), "--yes")
        assert answer["finished"]
        assert answer["still_in"] == []
        assert search_all(installation, search, keys) == {}
        again = installation.done("privacy", "erase", ADDRESS, "--yes")
        assert again["erased_before"]
    assert search_all(installation, search, keys) == {}, "nothing came back when all had ended"
    assert_proof_stands(installation, proof)
    assert_others_are_there(installation)


def plant(installation: Installation, accepted: Path) -> None:
    """Let the person do all that readers do, and let others write about them."""
    with installation.up() as browser:
        bystanders(installation)
        by_themselves(installation, browser)
        by_operator(installation)
    with installation.parts() as parts:
        by_others(parts)
    by_relay(installation, accepted)
    # A reject file of `subscriber import` is planted here when imports write one.
    bystanders(installation, renamed=True)


def by_themselves(installation: Installation, browser: httpx2.Client) -> None:
    """Sign up twice, confirm, choose."""
    form = {"email": ADDRESS, "name": NAME, "purpose": "updates"}
    assert browser.post("/n/weekly", data={**form, "email": f"{ADDRESS}@"}).status_code == 422
    for _ in range(2):
        assert browser.post("/n/weekly", data=form).status_code == 200
    token = b.link("c", installation.mail_to("confirm"))
    page = browser.post(f"/c/{token}")
    choices = {"name": f"{NAME} ", "purpose": ["updates", "partner-promotions"]}
    assert browser.post(f"/p/{b.link('p', page.text)}", data=choices).status_code == 200


def by_operator(installation: Installation) -> None:
    """Add, write to, test and suppress the person."""
    run = installation.done
    run("subscriber", "add", "daily", ADDRESS, "--purpose", "updates", "--source", SOURCE,
        "--name", NAME, "--attribute", f"street=behind {IP}")  # fmt: skip
    run("campaign", "send", "1")
    installation.mail_to("Friday")
    run("campaign", "test", "1", "--to", ADDRESS)
    until(lambda: "test" in _kinds(installation), "the test mail")
    run(
        "suppression", "add", ADDRESS, "--newsletter", "daily", "--detail", f"{NAME} rang from {IP}"
    )


def by_others(parts: Parts) -> None:
    """Let bounces name the person, one that is matched to a delivery and one that is not."""
    with parts.sessions.begin() as session:
        mine = session.scalars(select(Subscriber.id).where(Subscriber.name == NAME)).one()
        row = session.execute(select(delivery).where(delivery.c.subscriber_id == mine)).first()
        assert row
        came = {"kind": "bounce", "source": "dsn", "status": "5.1.1", "received_at": parts.now()}
        for matched in ({"delivery_id": row.id}, {"subscriber_id": mine}, {}):
            session.add(Feedback(**came, **matched, detail=DECLINED))


def by_relay(installation: Installation, accepted: Path) -> None:
    """Send the second campaign over a relay that declines the person by name."""
    with sink_in_a_thread(Sink(accepted, _decline)) as port:
        relay = {"MAILER_SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none&connections=3"}
        with installation.parts() as parts, parts.sessions.begin() as session:
            start_campaign(session, session.get_one(Campaign, 2), now=parts.now())
        ended = installation.mailer("worker", "--until-idle", **relay)
    assert ended.returncode == 0, ended.stderr
    assert len(accepted_by(accepted)) == BYSTANDERS
    with installation.parts() as parts, parts.sessions() as session:
        said = session.execute(select(delivery.c.last_reply)).scalars().all()
    assert any("is unknown, asked from" in (each or "") for each in said)


def bystanders(installation: Installation, *, renamed: bool = False) -> None:
    """Add others; or let their rows grow, so that the database moves rows from page to page."""
    with installation.parts() as parts, parts.sessions.begin() as session:
        if renamed:
            others = update(Subscriber).where(Subscriber.name == "")
            session.execute(others.values(name="Somebody with a name that needs some room"))
            return
        weekly = session.scalars(select(Newsletter).where(Newsletter.slug == "weekly")).one()
        purpose = weekly.purposes[0]
        for number in range(BYSTANDERS):
            address = b.parse_address(f"bystander{number}@readers.test")
            reader = find_or_add_reader(
                session, address, parts.suppression_key, ReaderDetails(), now=parts.now()
            )
            said = Evidence(Method.CLI, source="paper")
            record(session, reader, purpose, ConsentState.GIVEN, said, now=parts.now())


def sealed(installation: Installation) -> dict[str, bytes]:
    """Return what would open the reader's evidence, and what it would open."""
    with installation.parts() as parts, parts.sessions() as session:
        reader = session.scalars(select(Subscriber).where(Subscriber.name == NAME)).one()
        rows = session.scalars(
            select(ConsentEvidence.sealed)
            .join(ConsentEvent, ConsentEvent.id == ConsentEvidence.event)
            .where(ConsentEvent.subscriber_id == reader.id)
        ).all()
        assert len(rows) == 4
        return {"key": reader.sealed_key, **{f"evidence {n}": row for n, row in enumerate(rows)}}


@dataclass(frozen=True)
class SavedProof:
    """What was handed out of one event before: leaf, personal part, and the event's own key."""

    event_id: str
    leaf: dict[str, Any]
    personal: dict[str, str]
    key: bytes


def saved_proof(installation: Installation) -> SavedProof:
    """Save what proves the first event, as a proof file does."""
    with installation.parts() as parts, parts.sessions() as session:
        vault = Vault.of(session)
        event, sealed_key, evidence = session.execute(
            select(ConsentEvent, Subscriber.sealed_key, ConsentEvidence.sealed)
            .join(Subscriber, Subscriber.id == ConsentEvent.subscriber_id)
            .join(ConsentEvidence, ConsentEvidence.event == ConsentEvent.id)
            .where(Subscriber.name == NAME, ConsentEvent.method == Method.CONFIRM.value)
        ).one()
        key = vault.open_key(sealed_key)
        personal = vault.open(key, event.event_id, evidence)
        assert (personal["ip"], personal["user_agent"]) == (IP, BROWSER)
        leaf = _leaf(session, event).document()
        return SavedProof(event.event_id, leaf, personal, commitment_key(key, event.event_id))


def _leaf(session: Session, event: ConsentEvent) -> Leaf:
    notice = session.get(Notice, event.notice_id) if event.notice_id else None
    return Leaf(
        event_id=event.event_id,
        at=event.at,
        newsletter=session.get_one(Newsletter, event.newsletter_id).slug,
        purpose=session.get_one(Purpose, event.purpose_id).slug,
        reader=event.subscriber_id,
        state=event.state,
        method=event.method,
        basis=event.basis,
        notice=notice_ref(ShownNotice(notice, event.notice_assumed) if notice else None),
        commitment=event.commitment,
    )


def assert_proof_stands(installation: Installation, proof: SavedProof) -> None:
    """The personal part still belongs to the leaf, and the leaf still is what the database has."""
    assert commitment(proof.key, proof.personal).hex() == proof.leaf["commitment"]
    with installation.parts() as parts, parts.sessions() as session:
        event = session.scalars(
            select(ConsentEvent).where(ConsentEvent.event_id == proof.event_id)
        ).one()
        assert event.leaf_hash == hash_of_leaf(canonical(proof.leaf))


def assert_planted_widely(
    installation: Installation, found: Mapping[str, Mapping[str, bytes]]
) -> None:
    """The person stands where readers do, and is not found in one place alone."""
    kinds = {re.sub(r"\d{20}-\w+", "…", place) for place in found}
    assert "inbox/….eml" in kinds
    tables = {"subscriber", "delivery", "attempt", "feedback", "suppression", "subscription"}
    if "MAILER_DATABASE_URL" in installation.environment:
        assert {f"table {name}" for name in tables} <= kinds
    else:
        assert "mailer.db" in kinds


def assert_others_are_there(installation: Installation) -> None:
    """All others are as they were, and the campaigns still add up."""
    with installation.parts() as parts, parts.sessions() as session:
        assert len(session.scalars(select(Subscriber)).all()) == BYSTANDERS
        counts = [report(session, session.get_one(Campaign, number))["counts"] for number in (1, 2)]
    assert [sum(each.values()) for each in counts] == [BYSTANDERS + 1] * 2
    assert (counts[0]["sent"], counts[1]["failed"]) == (BYSTANDERS + 1, 1)
    if "MAILER_DATABASE_URL" not in installation.environment:
        assert integrity_problems(installation.home / "mailer.db") == []


def search_all(
    installation: Installation, search: Search, blobs: Mapping[str, bytes]
) -> dict[str, dict[str, bytes]]:
    """Return where what is found: in the home's files, and in the values of PostgreSQL's tables."""
    places = {
        str(path.relative_to(installation.home)): path.read_bytes()
        for path in installation.home.rglob("*")
        if path.is_file()
    }
    url = installation.environment.get("MAILER_DATABASE_URL")
    if url:
        places |= _tables(url)
    found = {
        place: search.found(content)
        | {what: blob for what, blob in blobs.items() if _either(blob, content)}
        for place, content in places.items()
    }
    return {place: hits for place, hits in found.items() if hits}


def _either(blob: bytes, content: bytes) -> bool:
    return blob in content or blob.hex().encode() in content


def _tables(url: str) -> dict[str, bytes]:
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        return {
            f"table {name}": "\n".join(
                row[0]
                for row in connection.execute(
                    sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(name))
                )
            ).encode()
            for (name,) in names
        }


def _kinds(installation: Installation) -> set[str]:
    with installation.parts() as parts, parts.sessions() as session:
        sent = select(delivery.c.kind).where(delivery.c.state == "sent")
        return set(session.execute(sent).scalars())


def _postgres(server: str) -> str:
    name = f"t{os.urandom(6).hex()}"
    with psycopg.connect(server + "postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server + name


def _ready(browser: httpx2.Client) -> bool:
    try:
        return bool(browser.get("/readyz").json()["redis"] == "ok")
    except httpx2.HTTPError:
        return False


def _decline(stage: str, line: str) -> str | None:
    """Decline the person, and quote the address."""
    return DECLINED if stage == "RCPT" and "okonkwo" in line.lower() else None
