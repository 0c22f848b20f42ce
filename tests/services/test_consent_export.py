"""Consent written down by the standards: what stands in a record, and one record per wording."""

from __future__ import annotations

import copy
import uuid
from datetime import timedelta
from typing import Any

import building as b
import pytest
from schemas import violations

from mailer.domain.consent import Basis, ConsentState, Method
from mailer.domain.leaves import instant
from mailer.services.consent.export import ExportFormat, export_consent
from mailer.services.consent.preferences import leave, save_preferences
from mailer.services.consent.signup import confirm
from mailer.services.newsletters.notices import publish_notice
from mailer.services.readers.readers import require_reader
from mailer.store.consents import Evidence, record
from mailer.store.models import ConsentEvent, LogEntry, Newsletter
from mailer.store.readers import find_or_add_reader
from mailer.transports.memory import MemoryTransport
from mailer.wiring import Parts

RECORD, RECEIPT = "consent-record-27560", "consent-receipt-kantara"


def export(
    parts: Parts, form: ExportFormat = ExportFormat.ISO_27560, email: str = "ada@readers.test"
) -> list[dict[str, Any]]:
    with parts.sessions() as session:
        reader = require_reader(session, email, parts.suppression_key)
        return export_consent(session, reader, form, links=parts.links)


@pytest.fixture
def ada(parts: Parts) -> Parts:
    """A reader who has signed up for both purposes and confirmed."""
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        b.edit_publisher(session, {"jurisdiction": "NG"})
        made.privacy_url = "https://news.test/privacy"
        notice = publish_notice(session, made, locale="en", text="The wording.", now=b.NOW)
        b.sign_up(
            parts, session, made, "ada@readers.test", ("updates", "partner-promotions"),
            notice=notice.sha256, now=parts.now(),
        )  # fmt: skip
    transport = MemoryTransport()
    b.send_all(parts, transport)
    token = b.link("c", transport.accepted[-1][1].decode().replace("=\r\n", ""))
    with parts.sessions.begin() as session:
        assert confirm(
            session, parts.signer, token, Evidence(Method.CONFIRM, ip="192.0.2.8"),
            message_id_of=parts.identity.message_id, now=parts.now(),
        )  # fmt: skip
    return parts


def test_a_record_holds_what_the_standard_asks_for(ada: Parts) -> None:
    [found] = export(ada)
    assert violations(RECORD, found) == []
    assert uuid.UUID(found["record_id"])
    assert (found["pii_principal_id"], found["jurisdiction"], found["language"]) == (
        "1", "NG", "en",
    )  # fmt: skip
    assert found["controller"] == {
        "name": "Test Press", "address": "1 Road, Lagos", "contact": "a@b.test",
    }  # fmt: skip
    notice = found["privacy_notice"]
    assert (notice["id"], notice["version"], notice["text"]) == ("weekly/en/2", 2, "The wording.")
    assert (notice["url"], notice["assumed"]) == ("https://news.test/privacy", False)
    assert notice["shown_at"] == found["events"][0]["time"]
    updates, partners = found["processing"]
    assert updates["purpose"]["id"] == "weekly/updates"
    assert partners["purpose"]["kind"] == "partner"
    assert (updates["state"], updates["lawful_basis"]) == ("active", "consent")
    assert updates["control"] == {
        "label": "Updates from the newsroom", "type": "checkbox", "default": "unchecked",
    }  # fmt: skip
    assert partners["recipients"][0] == "Test Press"
    assert [(event["state"], event["method"], event["entity"]) for event in found["events"]] == [
        *[("requested", "form", "pii_principal")] * 2,
        *[("given", "confirm", "pii_principal")] * 2,
    ]
    assert found["events"][0]["evidence"] == {
        "address": "ada@readers.test", "ip": "192.0.2.7", "user_agent": "test",
    }  # fmt: skip
    assert found["events"][2]["evidence"]["confirmation_message_id"].startswith("<")


def test_a_record_points_to_its_leaves_in_the_log(ada: Parts) -> None:
    with ada.sessions.begin() as session:
        session.add(LogEntry(leaf_index=0, event=1))
    leaves = export(ada)[0]["proof"]["leaves"]
    with ada.sessions() as session:
        event = session.get_one(ConsentEvent, 1)
        assert leaves[0] == {
            "event_id": event.event_id, "leaf_hash": event.leaf_hash.hex(), "leaf_index": 0,
        }  # fmt: skip
    assert leaves[1]["leaf_index"] is None  # not sequenced yet


def test_a_receipt_holds_what_kantara_asks_for(ada: Parts) -> None:
    [found] = export(ada, ExportFormat.KANTARA)
    assert violations(RECEIPT, found) == []
    assert found["version"] == "KI-CR-v1.1.0"
    assert found["piiPrincipalId"] == "ada@readers.test"
    assert found["policyUrl"] == "https://news.test/privacy"
    [service] = found["services"]
    assert service["service"] == "The Weekly"
    assert [purpose["consentType"] for purpose in service["purposes"]] == ["EXPLICIT"] * 2
    assert [purpose["thirdPartyDisclosure"] for purpose in service["purposes"]] == [False] * 2
    assert (found["sensitive"], found["spiCat"]) == (False, [])


def test_another_wording_begins_another_record_and_leaving_ends_the_last(ada: Parts) -> None:
    before = export(ada)[0]
    with ada.sessions.begin() as session:
        made = session.get_one(Newsletter, 1)
        notice = publish_notice(session, made, locale="en", text="Another.", now=b.NOW).sha256
        token = ada.links.preferences(1, 1).rpartition("/")[2]
        save_preferences(
            session, ada.signer, token, wanted=frozenset({"updates"}), notice_sha256=notice,
            name=None, locale=None, evidence=Evidence(Method.PREFERENCES), now=ada.now(),
        )  # fmt: skip
    first, second = export(ada)
    assert violations(RECORD, first) + violations(RECORD, second) == []
    assert first["record_id"] == before["record_id"]
    assert first["receipt_id"] != before["receipt_id"]
    assert [each["state"] for each in first["processing"]] == ["superseded", "left"]
    assert [each["state"] for each in second["processing"]] == ["active"]
    assert [event["state"] for event in second["events"]] == ["renewed"]
    assert second["privacy_notice"]["text"] == "Another."
    assert len(export(ada, ExportFormat.KANTARA)) == 2
    with ada.sessions.begin() as session:
        link = ada.links.unsubscribe(1, 1).rpartition("/")[2]
        leave(session, ada.signer, link, Evidence(Method.ONE_CLICK), now=ada.now())
    assert [each["state"] for each in export(ada)[1]["processing"]] == ["left"]


def test_an_implied_consent_names_its_end_and_no_wording(parts: Parts) -> None:
    ends = b.NOW + timedelta(days=730)
    with parts.sessions.begin() as session:
        made = b.newsletter(session)
        reader = find_or_add_reader(
            session, b.parse_address("ada@readers.test"), parts.suppression_key, now=b.NOW
        )
        said = Evidence(
            Method.CLI, source="bought a book", basis=Basis.IMPLIED, stated_at=b.NOW,
            valid_until=ends,
        )  # fmt: skip
        record(session, reader, made.purposes[0], ConsentState.GIVEN, said, now=b.NOW)
    [found] = export(parts)
    assert violations(RECORD, found) == []
    assert found["privacy_notice"] is None
    assert found["processing"][0]["control"] is None
    assert found["processing"][0]["lawful_basis"] == "implied consent"
    assert found["events"][0]["validity"] == {
        "stated_at": instant(b.NOW), "valid_until": instant(ends),
    }  # fmt: skip
    assert found["events"][0]["entity"] == "pii_controller"
    [receipt] = export(parts, ExportFormat.KANTARA)
    assert violations(RECEIPT, receipt) == []
    assert receipt["services"][0]["purposes"][0]["consentType"] == "IMPLICIT"
    assert receipt["jurisdiction"] == "not stated"


def test_who_has_agreed_to_nothing_has_records_and_no_receipt(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        b.sign_up(parts, session, b.newsletter(session), "ada@readers.test")
    [found] = export(parts)
    assert violations(RECORD, found) == []
    assert (found["processing"][0]["state"], found["privacy_notice"]["assumed"]) == (
        "pending", True,
    )  # fmt: skip
    assert export(parts, ExportFormat.KANTARA) == []


def test_the_schemas_refuse_what_lacks_a_field_has_one_too_many_or_a_wrong_one(
    ada: Parts,
) -> None:
    [found], [receipt] = export(ada), export(ada, ExportFormat.KANTARA)
    for name, document in ((RECORD, found), (RECEIPT, receipt)):
        for field in document:
            lacking = {key: value for key, value in document.items() if key != field}
            assert violations(name, lacking) == [f"$ lacks {field}"]
        assert violations(name, {**document, "more": 1}) == ["$ has more"]
    wrong = copy.deepcopy(found)
    wrong["events"][0]["state"] = "maybe"
    wrong["privacy_notice"]["sha256"] = "abc"
    assert len(violations(RECORD, wrong)) == 2
