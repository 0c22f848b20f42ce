"""The public pages, asked as browsers, mail programs and scanners ask them."""

from __future__ import annotations

import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import building as b
import pytest
from conftest import opened, settings_for
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mailer.doorbell import Doorbell
from mailer.services.campaign_course import cancel_campaign
from mailer.services.campaigns import send_test
from mailer.store.models import ConsentEvent, ConsentEvidence, Subscriber, Subscription, delivery
from mailer.transports.memory import MemoryTransport
from mailer.web.app import create_app
from mailer.wiring import Parts


@pytest.fixture
def client(sqlite_parts: Parts) -> Iterator[TestClient]:
    with sqlite_parts.sessions.begin() as session:
        b.newsletter(session)
    base = "http://127.0.0.1:8000"
    with TestClient(create_app(sqlite_parts), base_url=base, client=("127.0.0.1", 5000)) as client:
        yield client


def _fields(page: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


def _states(parts: Parts) -> dict[str, str]:
    with parts.sessions() as session:
        return {each.purpose.slug: each.state for each in session.scalars(select(Subscription))}


def _one_reader(parts: Parts) -> None:
    with parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(parts, session, made, 1)


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
        assert _states(sqlite_parts) == {"updates": "pending"}
    done = client.post(f"/c/{token}")
    assert "You are in" in done.text
    assert _states(sqlite_parts) == {"updates": "active"}
    preferences = client.get("/p/" + b.link("p", done.text)).text
    assert "ada@readers.test" in preferences
    assert preferences.count("checked") == 1
    with sqlite_parts.sessions() as session:
        evidence = session.scalars(select(ConsentEvidence)).all()
        assert {row.ip for row in evidence} == {"127.0.0.1"}
        assert all(token not in row.page_url for row in evidence)


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
    assert _states(sqlite_parts) == {}


def test_a_program_that_fills_the_hidden_field_signs_nobody_up(
    client: TestClient, sqlite_parts: Parts
) -> None:
    form = {"email": "ada@readers.test", "purpose": "updates", "website": "x"}
    assert client.post("/n/weekly", data=form).status_code == 200
    assert _states(sqlite_parts) == {}


@pytest.mark.parametrize("way", ["urlencoded", "multipart"])
def test_one_click_leaves_without_cookie_or_redirect_and_twice(
    client: TestClient, sqlite_parts: Parts, way: str
) -> None:
    _one_reader(sqlite_parts)
    path = sqlite_parts.links.unsubscribe(1, 1).removeprefix("http://127.0.0.1:8000")
    for ask in (client.get, client.head):
        ask(path)
        assert _states(sqlite_parts) == {"updates": "active"}
    for _ in range(2):
        if way == "multipart":
            answer = client.post(path, files={"List-Unsubscribe": (None, "One-Click")})
        else:
            answer = client.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.history == []
        assert "set-cookie" not in answer.headers
    assert _states(sqlite_parts) == {"updates": "left"}
    with sqlite_parts.sessions() as session:
        withdrawn = select(func.count()).where(ConsentEvent.state == "withdrawn")
        assert session.scalar(withdrawn) == 1


def test_a_post_that_is_no_one_click_leaves_nobody(client: TestClient, sqlite_parts: Parts) -> None:
    _one_reader(sqlite_parts)
    path = sqlite_parts.links.unsubscribe(1, 1).removeprefix("http://127.0.0.1:8000")
    assert client.post(path, data={"x": "y"}).status_code == 400
    assert client.post(path).status_code == 400
    assert _states(sqlite_parts) == {"updates": "active"}


@pytest.mark.parametrize("kind", ["c", "u", "p"])
def test_a_strangers_link_changes_nothing_and_tells_nothing(
    client: TestClient, sqlite_parts: Parts, kind: str
) -> None:
    _one_reader(sqlite_parts)
    made = {"c": sqlite_parts.links.confirm, "u": sqlite_parts.links.unsubscribe,
            "p": sqlite_parts.links.preferences}[kind](1, 1, 1)  # fmt: skip
    path = made.removeprefix("http://127.0.0.1:8000")
    bad = path[:-1] + ("A" if path[-1] != "A" else "B")
    bodies = set()
    for wrong in (bad, f"/{kind}/x", f"/{kind}/" + "A" * 58):
        answers = (client.get(wrong), client.post(wrong, data={"List-Unsubscribe": "One-Click"}))
        assert {answer.status_code for answer in answers} == {404}
        bodies |= {answer.text for answer in answers}
    assert len(bodies) == 1
    assert _states(sqlite_parts) == {"updates": "active"}


def test_pages_behind_a_token_are_kept_nowhere_and_told_to_nobody(
    client: TestClient, sqlite_parts: Parts
) -> None:
    _one_reader(sqlite_parts)
    for made in (sqlite_parts.links.unsubscribe(1, 1), sqlite_parts.links.preferences(1, 1)):
        headers = client.get(made).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-robots-tag"] == "noindex"
        assert "script-src" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]


def test_too_much_and_the_unknown_get_a_page_and_no_traceback(client: TestClient) -> None:
    assert client.post("/n/weekly", data={"email": "x" * 100_000}).status_code == 413
    assert client.get("/n/unknown").status_code == 404
    assert client.get("/nowhere").status_code == 404
    assert client.get("/a/unknown").status_code == 404
    assert "Traceback" not in client.get("/nowhere").text


def test_the_archive_shows_what_was_sent_and_leads_to_no_readers_links(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        b.readers(sqlite_parts, session, made, 1)
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="News",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        public_id, campaign_id = campaign.public_id, campaign.id
    assert client.get(f"/a/{public_id}").status_code == 404
    with sqlite_parts.sessions.begin() as session:
        b.start_campaign(session, session.get_one(b.Campaign, campaign_id), now=b.NOW)
    b.prepare_campaign(
        sqlite_parts.sessions, campaign_id, renderer=sqlite_parts.renderer,
        now=sqlite_parts.now, pause=lambda: None,
    )  # fmt: skip
    page = client.get(f"/a/{public_id}")
    assert "Story 0" in page.text
    assert "sandbox" in page.headers["content-security-policy"]
    assert "/u/preview" in page.text
    assert client.post("/u/preview", data={"List-Unsubscribe": "One-Click"}).status_code == 404


def test_the_inbox_is_for_this_machine_alone(client: TestClient, sqlite_parts: Parts) -> None:
    assert sqlite_parts.mailbox
    mail_id = sqlite_parts.mailbox.save(
        b"From: a@b.test\r\nTo: c@d.test\r\nSubject: <b>x\r\nContent-Type: text/html\r\n\r\n"
        b"<html><head></head><body><script>alert(1)</script>Hi</body></html>"
    )
    assert "&lt;b&gt;x" in client.get("/inbox").text
    frame = client.get(f"/inbox/{mail_id}/html")
    assert "sandbox" in frame.headers["content-security-policy"]
    assert client.get("/inbox/..%2f..%2fmailer/raw").status_code == 404
    assert client.post("/inbox").status_code == 400
    assert client.get("/inbox", headers={"host": "evil.test"}).status_code == 404
    elsewhere = TestClient(client.app, base_url="http://127.0.0.1:8000", client=("192.0.2.1", 1))
    assert elsewhere.get("/inbox").status_code == 404
    passed_on = {"x-forwarded-for": "192.0.2.1"}  # by a proxy on this machine, under its name
    assert client.get("/inbox", headers=passed_on).status_code == 404


@pytest.mark.parametrize(
    "more",
    [{"MAILER_PUBLIC_URL": "https://news.example.org"}, {"MAILER_BIND": "0.0.0.0:8000"}],
)
def test_an_installation_that_others_reach_shows_no_inbox(
    more: dict[str, str], sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "mailer.db")
    url = f"sqlite:///{tmp_path / 'mailer.db'}"
    for parts in opened(settings_for(url, tmp_path / "home", **more)):
        here = TestClient(
            create_app(parts), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 1)
        )
        assert here.get("/inbox").status_code == 404
        assert "inbox" not in here.get("/").text


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
    with sqlite_parts.sessions() as session:
        assert session.scalars(select(ConsentEvidence.ip)).all() == ["127.0.0.1"]
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
    _one_reader(sqlite_parts)
    links = sqlite_parts.links
    pages = ["/", "/n/weekly", "/n/weekly/embed", "/readyz", "/metrics",
             links.unsubscribe(1, 1), links.preferences(1, 1)]  # fmt: skip
    with sqlite_parts.sessions.begin() as session:
        session.execute(select(Subscription))  # holds the write lock, as every transaction does
        for page in pages:
            began = time.monotonic()
            assert client.get(page).status_code == 200
            assert time.monotonic() - began < 2, page


def test_a_frozen_redis_costs_a_sign_up_nothing() -> None:
    with socket.socket() as frozen:
        frozen.bind(("127.0.0.1", 0))
        frozen.listen(50)
        doorbell = Doorbell(f"redis://127.0.0.1:{frozen.getsockname()[1]}/0")
        ringers = [threading.Thread(target=doorbell.ring_send) for _ in range(20)]
        for ringer in ringers:
            ringer.start()
        time.sleep(0.5)
        assert sum(ringer.is_alive() for ringer in ringers) == 1
        for ringer in ringers:
            ringer.join()
        began = time.monotonic()
        doorbell.ring_send()
        assert time.monotonic() - began < 0.5


def test_a_draft_that_was_cancelled_is_not_in_the_archive(
    client: TestClient, sqlite_parts: Parts
) -> None:
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(b.Newsletter)).one()
        campaign = b.create_campaign(
            session, made, purpose="updates", subject="Secret",
            article_ids=b.articles(session, made, 1), now=b.NOW,
        )  # fmt: skip
        send_test(
            session, campaign, b.parse_address("desk@news.test"), renderer=sqlite_parts.renderer,
            suppression_key=sqlite_parts.suppression_key, now=sqlite_parts.now(),
        )  # fmt: skip
        cancel_campaign(session, campaign, now=b.NOW)
        public_id = campaign.public_id
    assert client.get(f"/a/{public_id}").status_code == 404


def test_nothing_is_given_under_a_wording_that_nobody_knows(
    client: TestClient, sqlite_parts: Parts
) -> None:
    _one_reader(sqlite_parts)
    page = sqlite_parts.links.preferences(1, 1)
    both = {"purpose": ["updates", "partner-promotions"], "notice": "f" * 64}
    answer = client.post(page, data=both)
    assert answer.status_code == 422
    assert "wording has changed" in answer.text
    assert _states(sqlite_parts) == {"updates": "active"}
    assert client.post(page, data={"notice": "f" * 64}).status_code == 200  # leaving needs none
    assert _states(sqlite_parts) == {"updates": "left"}


def test_a_form_without_name_and_locale_leaves_both_as_they_are(
    client: TestClient, sqlite_parts: Parts
) -> None:
    _one_reader(sqlite_parts)
    with sqlite_parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).one()
        reader.name, reader.locale = "Ada", "fr"
    page = sqlite_parts.links.preferences(1, 1)
    client.post(page, data={"purpose": "updates"})
    client.post(page, data={"purpose": "updates", "locale": "<script>"})
    with sqlite_parts.sessions() as session:
        reader = session.scalars(select(Subscriber)).one()
        assert (reader.name, reader.locale) == ("Ada", "")


def test_evidence_names_our_own_address_whatever_the_request_says(
    client: TestClient, sqlite_parts: Parts
) -> None:
    client.post(
        "/n/weekly", data={"email": "ada@readers.test", "purpose": "updates"},
        headers={"host": "evil.test"},
    )  # fmt: skip
    with sqlite_parts.sessions() as session:
        page = session.scalars(select(ConsentEvidence.page_url)).one()
        assert page == f"{sqlite_parts.settings.public_url}/n/weekly"
