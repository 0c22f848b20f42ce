"""Everything about one person: nothing is missing, nothing is anybody else's."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import building as b
import pytest
from babel.dates import format_date
from sqlalchemy import insert

from mailer.domain.addresses import parse_address
from mailer.domain.consent import Method
from mailer.domain.replies import Reply, Stage
from mailer.rendering.documents import personal_data_html
from mailer.services.campaigns.drafts import send_test
from mailer.services.consent.signup import confirm
from mailer.services.privacy.erasing import erase
from mailer.services.privacy.personal_data import as_json, personal_data_of, reading_habits
from mailer.services.readers.readers import UnknownReader
from mailer.store.actions import note_action
from mailer.store.consents import Evidence
from mailer.store.models import Feedback, Newsletter, Subscriber
from mailer.store.suppressions import suppress
from mailer.transports import Refused
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

ADA = "ada@readers.test"
LATER = b.NOW + timedelta(days=1)


def _everything_happens(parts: Parts) -> None:
    """Ada signs up, confirms, is sent a campaign, bounces, complains, is edited and tested upon."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.readers(parts, session, made, 1)  # somebody else: reader 1
        b.sign_up(parts, session, made, ADA, now=parts.now())
    transport = MemoryTransport()
    b.send_all(parts, transport)
    token = b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))
    with parts.sessions.begin() as session:
        confirm(
            session, parts.signer, token, Evidence(Method.CONFIRM, ip="198.51.100.9"),
            message_id_of=parts.identity.message_id, now=parts.now(),
        )  # fmt: skip
        made = session.get_one(Newsletter, 1)
        ada = session.get_one(Subscriber, 2)
        ada.name, ada.attributes, ada.timezone = "Ada <Lovelace>", {"city": "Kano"}, "Africa/Lagos"
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="The news", now=parts.now(),
            article_ids=b.articles(session, made, 1),
        )  # fmt: skip
        b.start_campaign(session, campaign, now=parts.now())
        campaign_id = campaign.id
    send_test(
        parts.sessions, campaign_id, parse_address(ADA), renderer=parts.renderer,
        suppression_key=parts.suppression_key, now=parts.now(),
    )  # fmt: skip
    b.prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    full = Refused(Stage.RCPT, Reply(550, "5.2.2", f"mailbox of {ADA} is full"))
    b.send_all(parts, MemoryTransport(script={ADA: [full]}))
    with parts.sessions.begin() as session:
        feedback = {"source": "dsn", "status": "5.2.2", "received_at": parts.now()}
        for subscriber_id, detail in ((2, "of ada"), (1, "of somebody else")):
            session.execute(
                insert(Feedback).values(
                    kind="bounce", delivery_id=None, subscriber_id=subscriber_id, detail=detail,
                    **feedback,
                )
            )  # fmt: skip
            note_action(
                session, "chidi@desk", "subscriber edit", now=parts.now(),
                subscriber_id=subscriber_id, details={"changed": ["name"]},
            )  # fmt: skip
        hashed = session.get_one(Subscriber, 2).address_hash
        suppress(session, hashed, b.SuppressionReason.COMPLAINT, now=parts.now(), detail="by mail")


def _one_reader(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.readers(parts, session, b.newsletter(session), 1)


def _of(parts: Parts, address: str = ADA) -> dict[str, Any]:
    with parts.sessions() as session:
        return personal_data_of(session, parse_address(address), parts.practice, now=parts.now())


def test_everything_is_there_and_nothing_of_others(parts: Parts) -> None:
    _everything_happens(parts)
    document = json.loads(as_json(_of(parts)))
    assert document["format"] == "newsroom-mailer/personal-data"
    assert document["controller"]["name"] == "Test Press"
    person = document["person"]
    assert (person["email"], person["name"], person["attributes"]) == (
        ADA, "Ada <Lovelace>", {"city": "Kano"},
    )  # fmt: skip
    [subscription] = document["subscriptions"]
    assert (subscription["purpose"], subscription["state"]) == ("updates", "active")
    asked, given = document["consent_events"][:2]
    assert (asked["state"], asked["evidence"]["ip"]) == ("requested", "192.0.2.7")
    assert (given["state"], given["evidence"]["ip"]) == ("given", "198.51.100.9")
    assert given["notice"]["text"] == b.WORDING
    assert given["notice"]["purposes"][0]["label"] == "Updates from the newsroom"
    kinds = {mail["kind"]: mail for mail in document["mails"]}
    assert set(kinds) == {"confirmation", "campaign", "test"}
    assert kinds["campaign"]["subject"] == "The news"
    assert given["evidence"]["confirmation_message_id"] == kinds["confirmation"]["message_id"]
    replies = [each["reply"] for mail in document["mails"] for each in mail["attempts"]]
    assert any("full" in reply for reply in replies)
    assert [each["detail"] for each in document["feedback"]] == ["of ada"]
    assert [each["reason"] for each in document["suppressions"]] == ["complaint"]
    assert [each["action"] for each in document["operator_actions"]] == ["subscriber edit"]
    assert document["origins"][0]["method"] == "form"
    assert [each["name"] for each in document["recipients"]] == ["inbox"]
    assert {each["kind"] for each in document["retention"]} >= {"attempts", "logs"}
    assert {each["article"] for each in document["rights"]} >= {"15", "17", "20", "77"}
    text = as_json(document)
    assert "reader0@" not in text
    assert "chidi" not in text, "who of the staff acted is the staff's"


def test_the_page_says_the_same_as_the_document_and_asks_nobody_for_anything(parts: Parts) -> None:
    _everything_happens(parts)
    document = _of(parts)
    with parts.sessions() as session:
        habits = reading_habits(session, document)
    assert habits == ("en", "Africa/Lagos")
    html = personal_data_html(document, locale="pt", timezone="Africa/Lagos")
    for words in (
        ADA, "Ada &lt;Lovelace&gt;", "Kano", "192.0.2.7", "198.51.100.9", "The news", "of ada",
        "by mail", "subscriber edit", "Test Press", "Updates from the newsroom",
        *(mail["message_id"].strip("<>") for mail in document["mails"]),
    ):  # fmt: skip
        assert words in html, words
    assert "<Lovelace>" not in html
    there = document["made_at"].astimezone(ZoneInfo("Africa/Lagos"))
    shown = format_date(there, "medium", locale="pt")
    assert shown in html, "dates are written as the reader's language does"
    assert not re.search(r"""(?:src|href)=["'](?!\#)|@import|url\(|<script""", html)


@pytest.mark.parametrize("locale", ["", "xx-nowhere", "ar", "pt-BR"])
def test_a_locale_that_nobody_knows_still_makes_a_page(sqlite_parts: Parts, locale: str) -> None:
    _one_reader(sqlite_parts)
    html = personal_data_html(
        _of(sqlite_parts, "reader0@readers.test"), locale=locale, timezone="UTC"
    )
    assert f'dir="{"rtl" if locale == "ar" else "ltr"}"' in html


def test_who_was_erased_is_told_that_and_when(parts: Parts) -> None:
    _one_reader(parts)
    address = parse_address("reader0@readers.test")
    with parts.sessions.begin() as session:
        erase(session, address, key=parts.suppression_key, method="cli", now=LATER)
    document = _of(parts, "reader0@readers.test")
    assert document["person"] is None
    assert document["consent_events"] == document["mails"] == []
    assert [each["at"] for each in document["erasures"]] == [LATER]
    assert [each["reason"] for each in document["suppressions"]] == ["erasure"]
    assert "was deleted on" in personal_data_html(document, locale="en", timezone="UTC")


def test_of_whom_nothing_is_known_nothing_is_made(parts: Parts) -> None:
    with pytest.raises(UnknownReader, match=r"Nothing is kept about nobody@readers\.test"):
        _of(parts, "nobody@readers.test")


def test_who_only_got_a_test_mail_is_told_so(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="The news", now=parts.now(),
            article_ids=b.articles(session, made, 1),
        )  # fmt: skip
        session.flush()
        campaign_id = campaign.id
    send_test(
        parts.sessions, campaign_id, parse_address("chief@desk.test"), renderer=parts.renderer,
        suppression_key=parts.suppression_key, now=parts.now(),
    )  # fmt: skip
    document = _of(parts, "Chief@desk.test")
    assert [mail["kind"] for mail in document["mails"]] == ["test"]
