"""The document with everything about a reader speaks the reader's language from end to end."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po
from lxml import html as lxml_html

from mailer.domain.acts import VERBS
from mailer.domain.consent import Basis, ConsentState, Method, SubscriptionState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.domain.retention import RULES
from mailer.domain.suppression import SuppressionReason
from mailer.locales import LANGUAGES, N_, translations
from mailer.locales.catalogues import TEMPLATE
from mailer.rendering.documents import personal_data_html
from mailer.services.privacy.data_rights import rights
from mailer.services.privacy.personal_data import as_json

AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
NAME = "Новости"  # no language of ours is written like this: what is, is ours
NAMES_EVERYWHERE = {"GDPR", "ID", "IP", "JSON", "Message", "SHA", "UTC", "hash"}


def _document(**given: Any) -> dict[str, Any]:
    """Return a document about nobody, but for what is given."""
    nothing = (
        "subscriptions", "topics", "consent_events", "mails", "feedback", "suppressions",
        "house_roles", "erasures", "operator_actions", "origins", "recipients", "retention",
    )  # fmt: skip
    responsible = {"name": "", "address": "", "contact": "", "jurisdiction": ""}
    return {
        "made_at": AT, "controller": responsible, "person": None, "rights": rights(""),
        **dict.fromkeys(nothing, ()), **given,
    }  # fmt: skip


def _full() -> dict[str, Any]:
    """Return a document in which everything has happened that can happen."""
    place = {"newsletter": NAME, "purpose": NAME}
    responsible = dict.fromkeys(("name", "address", "contact", "jurisdiction"), NAME)
    facts = ("address", "ip", "page_url", "user_agent", "source", "confirmation_message_id")
    events = [
        {
            **place, "at": AT, "state": state, "method": method, "basis": basis, "event_id": 7,
            "evidence": {} if state == ConsentState.EXPIRED else dict.fromkeys(facts, NAME),
            "stated_at": AT, "valid_until": AT,
            "notice": {
                "text": NAME, "purposes": [{"slug": NAME, "label": NAME}],
                "controller": responsible,
                "links": {"privacy": NAME, "terms": NAME}, "version": "3", "locale": "ru",
                "published_at": AT, "sha256": "00", "assumed": True,
            },
        }
        for state, method, basis in product(ConsentState, Method, Basis)
        if state == ConsentState.GIVEN or (method, basis) == (Method.FORM, Basis.CONSENT)
    ]  # fmt: skip
    mails = [
        {
            "message_id": "<1@2.3>", "newsletter": NAME, "kind": kind, "subject": None,
            "state": state, "queued_at": AT, "settled_at": None, "last_reply": NAME,
            "relay_queue_id": "9F", "attempts": [
                {"at": AT, "relay": NAME, "outcome": state, "reply": NAME}
            ] * (kind == DeliveryKind.TEST),
        }
        for kind, state in product(DeliveryKind, DeliveryState)
    ]  # fmt: skip
    return _document(
        controller=responsible,
        person={
            "email": "1@2.3", "name": NAME, "locale": "ru", "timezone": "UTC", "subscriber_id": 5,
            "attributes": {NAME: NAME}, "receiving_provider": NAME, "known_since": AT,
        },
        topics=[{"newsletter": NAME, "topic": NAME}],
        subscriptions=[
            {**place, "newsletter_name": NAME, "label": NAME, "state": state, "since": AT,
             "valid_until": AT, "said_at_sign_up": {"name": NAME, "topics": [NAME, NAME]}}
            for state in SubscriptionState
        ],
        consent_events=events,
        mails=mails,
        feedback=[
            {"at": AT, "kind": kind, "source": NAME, "status": "5.1.1", "detail": NAME}
            for kind in ("bounce", "deferral", "complaint", "delivered", "something new")
        ],
        suppressions=[
            {"scope": scope, "reason": reason, "detail": NAME, "since": AT}
            for reason, scope in product(SuppressionReason, ("all", NAME))
        ],
        house_roles=[
            {"role": role, "newsletter": NAME, "digest": NAME} for role in ("seed", "approver")
        ],
        operator_actions=[
            {"at": AT, "action": verb, "details": {"form": "html"}} for verb in VERBS
        ],
        origins=[{"newsletter": NAME, "method": Method.FORM, "source": NAME, "stated_at": AT}],
        recipients=[
            {"host": N_("this machine"), "role": N_("built-in inbox; no mail leaves this machine")},
            {
                "host": "1.2.3",
                "role": N_("mail relay: is given the address and the mail, to deliver it"),
            },
        ],
        retention=[
            {"what": rule.what, "counts_from": rule.counts_from, "days": days}
            for rule, days in product(RULES, (7, 1, 365, None))
        ],
        rights=rights("1@2.3"),
    )  # fmt: skip


def _pages(locale: str) -> list[lxml_html.HtmlElement]:
    """Return the page with everything and the page with nothing; the record's own words go."""
    documents = (_full(), _document(erasures=[{"at": AT}]))
    pages = [
        lxml_html.fromstring(personal_data_html(each, locale=locale, timezone="UTC"))
        for each in documents
    ]
    for page in pages:
        for away in page.xpath("//style | //bdi[@lang='en']"):
            away.drop_tree()
    return pages


def _text(locale: str) -> str:
    """Return all that a page says to those who see and to those who listen, in one line."""
    said = [text for page in _pages(locale) for text in page.xpath("//text() | //@aria-label")]
    return " ".join(" ".join(said).split())


def _sentences() -> list[Message]:
    """Return what the document says, of the catalogues' template."""
    of_documents = ("documents/", "domain/", "services/practice", "services/data_rights")
    with TEMPLATE.open("rb") as file:
        return [
            each
            for each in read_po(file)
            if each.id and any(part in file for file, _ in each.locations for part in of_documents)
        ]


def _pieces(sentence: str) -> list[str]:
    """Return what stands between the placeholders, where it is words."""
    pieces = (piece.strip(" .:,;()") for piece in re.split(r"%\(\w+\)s", sentence))
    return [each for each in pieces if re.search("[a-z]{2}", each, re.I) and each != "GDPR"]


def _stands_in(piece: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", text) is not None


def _english(message: Message) -> str:
    return message.id if isinstance(message.id, str) else str(message.id[1])


def _said(message: Message, language: str) -> str:
    say = translations(language)
    return say.gettext(message.id) if isinstance(message.id, str) else say.ngettext(*message.id, 5)


def test_the_two_documents_of_this_file_say_every_sentence_that_there_is() -> None:
    text = _text("en")
    assert len(_sentences()) > 150
    unsaid = [
        _english(each)
        for each in _sentences()
        if not all(_stands_in(piece, text) for piece in _pieces(_english(each)))
    ]
    assert unsaid == []


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_no_sentence_stays_english(language: str) -> None:
    text = _text(language)
    left = [
        piece
        for each in _sentences()
        for piece in _pieces(_english(each))
        if _stands_in(piece, text) and not _stands_in(piece, _said(each, language))
    ]
    assert left == []


@pytest.mark.parametrize("language", ["ar", "am"])
def test_in_another_script_no_latin_word_is_left(language: str) -> None:
    latin = set(re.findall(r"[A-Za-z]{2,}", _text(language)))
    assert latin - NAMES_EVERYWHERE == set()


def test_arabic_reads_from_right_to_left_and_everything_else_keeps_its_direction() -> None:
    page, _ = _pages("ar-EG")
    assert (page.get("lang"), page.get("dir")) == ("ar-EG", "rtl")
    assert page.findtext(".//h1") == "كل ما هو محفوظ عنك"
    wording = page.find(".//p[@class='notice']")
    assert (wording.get("lang"), wording.get("dir")) == ("ru", "ltr")
    loose = [each for each in page.xpath("//dd") if each.text or each.find("bdi") is None]
    assert loose == [], "values are isolated, or < and > change places"
    periods = [each.text_content() for each in page.xpath("//td[@class='days']")]
    assert {"يوم واحد", "7 أيام", "365 يوما"} <= {
        each.translate(str.maketrans("٠١٢٣٤٥٦٧٨٩", "0123456789")) for each in periods
    }


@pytest.mark.parametrize("locale", ["de", "", "xx-nowhere"])
def test_a_language_without_a_catalogue_gets_english_and_the_page_says_so(locale: str) -> None:
    page, _ = _pages(locale)
    assert (page.get("lang"), page.get("dir")) == ("en", "ltr")
    assert page.findtext(".//h1") == "Everything that is kept about you"
    assert "November 28, 2026" in page.text_content()


def test_a_contact_is_filled_in_after_translation_and_escaped() -> None:
    document = _document(rights=rights("100% <b>@x.test"))
    html = personal_data_html(document, locale="fr", timezone="UTC")
    assert "Écrivez à 100% &lt;b&gt;@x.test." in html
    assert "Écrivez à l’éditeur." in personal_data_html(_document(), locale="fr", timezone="UTC")


def test_the_document_for_programs_is_english_whatever_the_page_speaks() -> None:
    told = json.loads(as_json(rights("a@b.test")))
    assert told[4] == {
        "right": "Have the use of your data restricted", "article": "18",
        "how": "Write to a@b.test.",
    }  # fmt: skip
