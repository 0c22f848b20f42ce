"""A reader's own requests in the browser: mails, links, buttons, downloads."""

from __future__ import annotations

import json
from datetime import timedelta

import building as b
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mailer.services.privacy.rights import day_of
from mailer.store.models import Erasure, OperatorAction, Subscriber, delivery
from mailer.wiring import Parts

HERE = "http://127.0.0.1:8000"


def _paths(parts: Parts) -> dict[str, str]:
    """Return the pages of reader 1, as links that were mailed today lead to them."""
    today = day_of(parts.now())
    links = parts.links
    made = {"p": links.preferences(1, 1), "d": links.export(1, 1, today),
            "e": links.erase(1, 1, today)}  # fmt: skip
    return {kind: link.removeprefix(HERE) for kind, link in made.items()}


def _rows(parts: Parts) -> tuple[int, int, int]:
    with parts.sessions() as session:
        counted = [select(func.count()).select_from(each)
                   for each in (Subscriber, OperatorAction, delivery)]  # fmt: skip
        readers, acts, mails = (session.scalar(each) or 0 for each in counted)
        return readers, acts, mails


def test_looking_changes_nothing_and_scanners_only_look(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    paths = _paths(sqlite_parts)
    before = _rows(sqlite_parts)
    for ask in (client.get, client.head):
        for path in paths.values():
            assert ask(path).status_code == 200
        for wish in ("export", "erase"):
            assert ask(f"{paths['p']}/{wish}").status_code == 405
    assert _rows(sqlite_parts) == before


def test_the_preference_pages_buttons_send_a_mail_each(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    page = _paths(sqlite_parts)["p"]
    shown = client.get(page).text
    token = page.rpartition("/")[2]
    for wish in ("export", "erase"):
        assert f'action="{token}/{wish}"' in shown
        answer = client.post(f"{page}/{wish}")
        assert answer.status_code == 200
        assert "on its way to reader0@readers.test" in answer.text
    assert _rows(sqlite_parts) == (1, 2, 2)
    client.post(f"{page}/export")
    assert "written to you already" in client.post(f"{page}/export").text
    assert client.post(f"{page}/other").status_code == 404
    assert _rows(sqlite_parts) == (1, 3, 3)


@pytest.mark.parametrize("form", ["json", "html"])
def test_the_mailed_link_downloads_and_nobody_keeps_a_copy(
    client: TestClient, sqlite_parts: Parts, form: str
) -> None:
    b.one_reader(sqlite_parts)
    answer = client.post(_paths(sqlite_parts)["d"], data={"form": form})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith(f'.{form}"')
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "reader0@readers.test" in answer.text
    if form == "json":
        assert json.loads(answer.text)["person"]["subscriber_id"] == 1


def test_the_page_speaks_the_readers_language_and_the_file_for_programs_english(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    with sqlite_parts.sessions.begin() as session:
        session.get_one(Subscriber, 1).locale = "ar"
    link = _paths(sqlite_parts)["d"]
    page = client.post(link, data={"form": "html"}).text
    assert '<html lang="ar" dir="rtl">' in page
    assert "كل ما هو محفوظ عنك" in page
    told = json.loads(client.post(link, data={"form": "json"}).text)
    assert told["rights"][0]["right"] == "Withdraw your consent at any time"
    assert told["recipients"][0]["host"] == "this machine"


def test_a_form_that_nobody_offered_is_refused(client: TestClient, sqlite_parts: Parts) -> None:
    b.one_reader(sqlite_parts)
    for form in ("", "xml", "../../etc"):
        assert client.post(_paths(sqlite_parts)["d"], data={"form": form}).status_code == 400


def test_the_mailed_link_erases_and_then_all_links_say_so(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    paths = _paths(sqlite_parts)
    assert "The Weekly" in client.get(paths["e"]).text
    for _ in range(2):
        assert "You are forgotten" in client.post(paths["e"]).text
    assert "You are forgotten" in client.get(paths["e"]).text
    assert "Nothing is kept about you" in client.get(paths["d"]).text
    assert "Nothing is kept" in client.post(paths["d"], data={"form": "json"}).text
    assert client.get(paths["p"]).status_code == 404
    assert client.post(f"{paths['p']}/export").status_code == 404
    assert _rows(sqlite_parts)[0] == 0
    with sqlite_parts.sessions() as session:
        assert session.scalars(select(Erasure.cleaned_at)).one(), "what is not in rows went, too"


def test_a_link_that_has_run_out_does_nothing(client: TestClient, sqlite_parts: Parts) -> None:
    b.one_reader(sqlite_parts)
    old = day_of(sqlite_parts.now() - timedelta(days=8))
    for made in (sqlite_parts.links.export(1, 1, old), sqlite_parts.links.erase(1, 1, old)):
        path = made.removeprefix(HERE)
        for answer in (client.get(path), client.post(path, data={"form": "json"})):
            assert answer.status_code == 410
            assert "This link has run out" in answer.text
            assert "reader0" not in answer.text
    assert _rows(sqlite_parts) == (1, 0, 0)


def test_a_strangers_link_is_none_of_ours(client: TestClient, sqlite_parts: Parts) -> None:
    b.one_reader(sqlite_parts)
    paths = _paths(sqlite_parts)
    swapped = {"/d/" + paths["e"][3:], "/e/" + paths["d"][3:], "/e/" + paths["p"][3:]}
    for path in {*swapped, paths["d"][:-1] + "!", "/e/x"}:
        assert client.get(path).status_code == 404
        assert client.post(path, data={"form": "json"}).status_code == 404
    assert client.post(f"/p/{paths['e'][3:]}/erase").status_code == 404
    assert _rows(sqlite_parts) == (1, 0, 0)


def test_these_pages_are_kept_nowhere_and_told_to_nobody(
    client: TestClient, sqlite_parts: Parts
) -> None:
    b.one_reader(sqlite_parts)
    paths = _paths(sqlite_parts)
    answers = [client.get(paths["d"]), client.get(paths["e"]), client.post(f"{paths['p']}/erase"),
               client.post(paths["e"])]  # fmt: skip
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-robots-tag"] == "noindex"
        assert "script-src" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers
