"""The public pages, asked as browsers, mail programs and scanners ask them."""

from __future__ import annotations

import re
import time

import building as b
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mailer.services.newsletters.topics import add_topic
from mailer.store.models import Subscription, delivery
from mailer.transports.memory import MemoryTransport
from mailer.web.app import create_app
from mailer.wiring import Parts


def _fields(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def test_the_sign_up_page_shows_the_wording_and_no_ticked_box(client: TestClient) -> None:
    page = client.get("/n/weekly").text
    assert b.WORDING.replace("'", "&#39;") in page
    assert page.count('type="checkbox"') == 2
    assert "checked" not in page
    assert 'autocomplete="email"' in page
    assert "Test Press" in page
    assert "<script" not in page


def test_the_whole_way_from_the_form_to_the_preferences(
    client: TestClient, sqlite_parts: Parts
) -> None:
    fields = _fields(client.get("/n/weekly").text)
    answer = client.post(
        "/n/weekly", data={**fields, "email": "ada@readers.test", "purpose": ["updates"]}
    )
    assert answer.status_code == 200
    assert "a mail is on its way" in answer.text
    transport = MemoryTransport()
    b.send_all(sqlite_parts, transport)
    token = b.link("c", transport.accepted[0][1].decode().replace("=\r\n", ""))
    for ask in (client.get, client.head):
        assert ask(f"/c/{token}").status_code == 200
        assert b.subscriptions(sqlite_parts) == {"updates": "pending"}
    done = client.post(f"/c/{token}")
    assert "You are in" in done.text
    assert b.subscriptions(sqlite_parts) == {"updates": "active"}
    preferences = client.get("/p/" + b.link("p", done.text)).text
    assert "ada@readers.test" in preferences
    assert preferences.count("checked") == 1
    evidence = b.evidences(sqlite_parts)
    assert {each["ip"] for each in evidence} == {"127.0.0.1"}
    assert all(token not in each["page_url"] for each in evidence)


def test_known_new_and_suppressed_addresses_get_the_same_answer(client: TestClient) -> None:
    fields = _fields(client.get("/n/weekly").text)
    answers = {
        client.post("/n/weekly", data={**fields, "email": address, "purpose": "updates"}).text
        for address in ("new@readers.test", "new@readers.test", "NEW@readers.test")
    }
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"email": "nobody"}, "Please enter an e-mail address"),
        ({"purpose": []}, "tick at least one"),
        ({"notice": "0" * 64}, "wording has changed"),
    ],
)
def test_a_form_that_cannot_be_taken_comes_back_with_its_values(
    client: TestClient, sqlite_parts: Parts, changes: dict[str, object], said: str
) -> None:
    form = {**_fields(client.get("/n/weekly").text), "email": "ada@readers.test", "name": "Ada",
            "purpose": ["updates"], **changes}  # fmt: skip
    answer = client.post("/n/weekly", data=form)
    assert answer.status_code == 422
    assert said in answer.text
    assert 'role="alert"' in answer.text
    assert 'value="Ada"' in answer.text
    assert b.subscriptions(sqlite_parts) == {}


def test_a_program_that_fills_the_hidden_field_signs_nobody_up(
    client: TestClient, sqlite_parts: Parts
) -> None:
    form = {"email": "ada@readers.test", "purpose": "updates", "website": "x"}
    assert client.post("/n/weekly", data=form).status_code == 200
    assert b.subscriptions(sqlite_parts) == {}


def test_too_much_and_the_unknown_get_a_page_and_no_traceback(client: TestClient) -> None:
    assert client.post("/n/weekly", data={"email": "x" * 100_000}).status_code == 413
    assert client.get("/n/unknown").status_code == 404
    assert client.get("/nowhere").status_code == 404
    assert client.get("/a/unknown").status_code == 404
    assert "Traceback" not in client.get("/nowhere").text


def test_monitors_are_told_what_is_there(client: TestClient) -> None:
    assert client.get("/healthz").text == "alive\n"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["database"] == "ok"
    assert "mailer_open_deliveries" in client.get("/metrics").text


def test_a_forwarded_address_is_believed_of_a_named_proxy_only(
    client: TestClient, sqlite_parts: Parts
) -> None:
    form = {"email": "ada@readers.test", "purpose": "updates"}
    client.post("/n/weekly", data=form, headers={"x-forwarded-for": "198.51.100.9"})
    assert [each["ip"] for each in b.evidences(sqlite_parts)] == ["127.0.0.1"]
    with sqlite_parts.sessions() as session:
        assert session.scalar(select(func.count()).select_from(delivery)) == 1


@pytest.mark.parametrize(
    "path",
    ["/n/%00", "/n/%C2%B2", "/n/99999999999999999999999", "/a/%00", "/c/%00", "/inbox/%00",
     "/n/weekly?locale=%00x", "/n/" + "x" * 5000, "/p/%ff", "/u/%F0%9F%92%A9"],
)  # fmt: skip
def test_no_address_of_a_page_brings_the_program_down(parts: Parts, path: str) -> None:
    with parts.sessions.begin() as session:
        b.newsletter(session)
    client = TestClient(create_app(parts), base_url="http://127.0.0.1:8000")
    assert client.get(path).status_code in (200, 404)


def test_looking_waits_for_no_writer(client: TestClient, sqlite_parts: Parts) -> None:
    b.one_reader(sqlite_parts)
    links = sqlite_parts.links
    pages = ["/", "/n/weekly", "/n/weekly/embed", "/readyz", "/metrics",
             links.unsubscribe(1, 1), links.preferences(1, 1)]  # fmt: skip
    with sqlite_parts.sessions.begin() as session:
        session.execute(select(Subscription))  # holds the write lock, as every transaction does
        for page in pages:
            began = time.monotonic()
            assert client.get(page).status_code == 200
            assert time.monotonic() - began < 10, page  # it would wait for 30


def test_evidence_names_our_own_address_whatever_the_request_says(
    client: TestClient, sqlite_parts: Parts
) -> None:
    client.post(
        "/n/weekly", data={"email": "ada@readers.test", "purpose": "updates"},
        headers={"host": "evil.test"},
    )  # fmt: skip
    [evidence] = b.evidences(sqlite_parts)
    assert evidence["page_url"] == f"{sqlite_parts.settings.public_url}/n/weekly"


def test_topics_are_boxes_of_their_own_on_both_pages_and_none_is_ticked_before(
    client: TestClient, sqlite_parts: Parts
) -> None:
    assert "topic" not in client.get("/n/weekly").text
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        for slug in ("politics", "culture"):
            add_topic(session, made, slug, labels={"en": f"About {slug}"})
    page = client.get("/n/weekly").text
    assert page.count('name="topic"') == 2
    assert "<legend>Which topics?" in page
    assert "checked" not in page
    assert "About culture" in client.get("/n/weekly/embed").text
    again = client.post("/n/weekly", data={"email": "no", "purpose": "updates", "topic": "culture"})
    assert 'value="culture" checked' in again.text
    form = {**_fields(page), "email": "ada@readers.test", "purpose": "updates", "topic": "culture"}
    client.post("/n/weekly", data=form)
    transport = MemoryTransport()
    b.send_all(sqlite_parts, transport)
    token = b.link("c", transport.accepted[0][1].decode().replace("=\r\n", ""))
    link = "/p/" + b.link("p", client.post(f"/c/{token}").text)
    page = client.get(link).text
    assert 'name="topic" value="culture" checked' in page
    assert 'name="topic" value="politics">' in page
    chosen = {**_fields(page), "purpose": "updates", "topic": ["politics"]}
    page = client.post(link, data=chosen).text
    assert 'name="topic" value="politics" checked' in page
    assert 'name="topic" value="culture">' in page
    page = client.post(link, data={"purpose": "updates"}).text  # a page of before the upgrade
    assert 'name="topic" value="politics" checked' in page
