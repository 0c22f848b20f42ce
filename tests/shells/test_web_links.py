"""The pages behind a reader's own links: leaving, choosing, and nothing for strangers."""

from __future__ import annotations

import building as b
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mailer.store.models import ConsentEvent, Subscriber
from mailer.wiring import Parts


@pytest.mark.parametrize("way", ["urlencoded", "multipart"])
def test_one_click_leaves_without_cookie_or_redirect_and_twice(
    client: TestClient, sqlite_parts: Parts, way: str
) -> None:
    b.one_reader(sqlite_parts)
    path = sqlite_parts.links.unsubscribe(1, 1).removeprefix("http://127.0.0.1:8000")
    for ask in (client.get, client.head):
        ask(path)
        assert b.subscriptions(sqlite_parts) == {"updates": "active"}
    for _ in range(2):
        if way == "multipart":
            answer = client.post(path, files={"List-Unsubscribe": (None, "One-Click")})
        else:
            answer = client.post(path, data={"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        assert answer.history == []
        assert "set-cookie" not in answer.headers
    assert b.subscriptions(sqlite_parts) == {"updates": "left"}
    with sqlite_parts.sessions() as session:
        withdrawn = select(func.count()).where(ConsentEvent.state == "withdrawn")
        assert session.scalar(withdrawn) == 1


def test_a_post_that_is_no_one_click_leaves_nobody(client: TestClient, sqlite_parts: Parts) -> None:
    b.one_reader(sqlite_parts)
    path = sqlite_parts.links.unsubscribe(1, 1).removeprefix("http://127.0.0.1:8000")
    assert client.post(path, data={"x": "y"}).status_code == 400
    assert client.post(path).status_code == 400
    assert b.subscriptions(sqlite_parts) == {"updates": "active"}


@pytest.mark.parametrize("kind", ["c", "u", "p"])
def test_a_strangers_link_changes_nothing_and_tells_nothing(
    client: TestClient, sqlite_parts: Parts, kind: str
) -> None:
    b.one_reader(sqlite_parts)
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
    assert b.subscriptions(sqlite_parts) == {"updates": "active"}


def test_pages_behind_a_token_are_kept_nowhere_and_told_to_nobody(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    for made in (sqlite_parts.links.unsubscribe(1, 1), sqlite_parts.links.preferences(1, 1)):
        headers = client.get(made).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-robots-tag"] == "noindex"
        assert "script-src" not in headers["content-security-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]


def test_nothing_is_given_under_a_wording_that_nobody_knows(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    page = sqlite_parts.links.preferences(1, 1)
    both = {"purpose": ["updates", "partner-promotions"], "notice": "f" * 64}
    answer = client.post(page, data=both)
    assert answer.status_code == 422
    assert "wording has changed" in answer.text
    assert b.subscriptions(sqlite_parts) == {"updates": "active"}
    assert client.post(page, data={"notice": "f" * 64}).status_code == 200  # leaving needs none
    assert b.subscriptions(sqlite_parts) == {"updates": "left"}


def test_a_form_without_name_and_locale_leaves_both_as_they_are(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    with sqlite_parts.sessions.begin() as session:
        reader = session.scalars(select(Subscriber)).one()
        reader.name, reader.locale = "Ada", "fr"
    page = sqlite_parts.links.preferences(1, 1)
    client.post(page, data={"purpose": "updates"})
    client.post(page, data={"purpose": "updates", "locale": "<script>"})
    with sqlite_parts.sessions() as session:
        reader = session.scalars(select(Subscriber)).one()
        assert (reader.name, reader.locale) == ("Ada", "")
