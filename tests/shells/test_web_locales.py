"""Pages speak the reader's language; the wording stays word for word."""

from __future__ import annotations

import building as b
import pytest
from starlette.testclient import TestClient

from mailer.store.models import Newsletter, Subscriber
from mailer.wiring import Parts


def test_a_sign_up_page_speaks_the_language_of_its_wording(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.get_one(Newsletter, 1)
        b.publish_notice(session, made, locale="ar", text=b.WORDING, now=b.NOW)
    page = client.get("/n/weekly", headers={"Accept-Language": "ar-EG,en;q=0.8"}).text
    assert '<html lang="ar" dir="rtl">' in page
    assert "عنوان البريد الإلكتروني" in page
    assert b.WORDING.replace("'", "&#39;") in page  # never translated
    said = client.post("/n/weekly", data={"email": "x", "locale": "ar"}).text
    assert "يرجى إدخال عنوان بريد إلكتروني." in said


def test_a_page_in_a_language_without_a_catalogue_says_that_it_is_english(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.get_one(Newsletter, 1)
        b.publish_notice(session, made, locale="he", text="הודעה", now=b.NOW)
    page = client.get("/n/weekly?locale=he").text
    assert '<html lang="en" dir="ltr">' in page
    assert '<p class="notice" lang="he" dir="rtl">' in page


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("fr-CA,en;q=0.5", "Ce lien ne fonctionne pas"),
        ("de,sw;q=0.8", "Kiungo hiki hakifanyi kazi"),
        ("*", "This link does not work"),
        ("", "This link does not work"),
    ],
)
def test_an_error_speaks_the_language_of_the_browser(
    client: TestClient, asked: str, says: str
) -> None:
    assert says in client.get("/u/nonsense", headers={"Accept-Language": asked}).text


def test_preferences_speak_the_readers_language_and_offer_the_others(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        b.readers(sqlite_parts, session, session.get_one(Newsletter, 1), 1)
        session.get_one(Subscriber, 1).locale = "sw"
    page = client.get(sqlite_parts.links.preferences(1, 1)).text
    assert '<html lang="sw" dir="ltr">' in page
    assert '<option value="sw" lang="sw" selected>Kiswahili</option>' in page
    assert "Hifadhi" in page
    assert b.WORDING.replace("'", "&#39;") in page
