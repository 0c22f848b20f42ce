"""An editor's buttons in the browser: a link scanner presses nothing, a person presses once."""

from __future__ import annotations

import re
from datetime import timedelta

import building as b
import personal
import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from mailer.domain.addresses import parse_address
from mailer.services.digests.digests import Ran, add_digest, begin_run, run_digest
from mailer.services.digests.editing import Approver
from mailer.store.models import Approval, Campaign, Newsletter, OperatorAction
from mailer.wiring import Parts


@pytest.fixture
def waiting(sqlite_parts: Parts) -> str:
    """The path of the page on which a finished digest waits; needs `client`'s newsletter."""
    with sqlite_parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        b.readers(sqlite_parts, session, made, 1)
        b.articles(session, made, 2)
        now = sqlite_parts.now()
        editor = Approver.of(
            parse_address("editor@news.test"), sqlite_parts.suppression_key, timedelta(hours=4)
        )
        digest = add_digest(
            session, made, slug="friday", purpose="updates", cron="0 7 * * FRI",
            approver=editor, renderer=sqlite_parts.renderer, now=now,
        )  # fmt: skip
        ran = run_digest(session, begin_run(digest), now=now)
        assert isinstance(ran, Ran)
        approval = ran.campaign.approval
        assert approval
        until = int(approval.until.timestamp())
        link = sqlite_parts.links.approval(made.id, ran.campaign.id, until)
    return link.removeprefix(sqlite_parts.settings.public_url)


def state(parts: Parts) -> tuple[str, str, int]:
    with parts.sessions() as session:
        return (
            session.scalars(select(Campaign)).one().state,
            session.scalars(select(Approval)).one().decision,
            session.scalar(select(func.count()).select_from(OperatorAction)) or 0,
        )


def test_looking_changes_nothing_and_scanners_only_look(
    client: TestClient, sqlite_parts: Parts, waiting: str
) -> None:
    before = state(sqlite_parts)
    for ask in (client.get, client.head, client.options):
        for path in (waiting, f"{waiting}?stop", f"{waiting}/mail"):
            ask(path)
    assert state(sqlite_parts) == before == ("draft", "", 0)
    shown = client.get(waiting)
    assert shown.status_code == 200
    assert shown.headers["cache-control"] == "no-store"
    assert "script" not in shown.text
    assert re.findall(r'name="decision" value="(\w+)"', shown.text) == ["approved", "stopped"]
    stopping = client.get(f"{waiting}?stop").text
    assert re.findall(r'name="decision" value="(\w+)"', stopping) == ["stopped", "approved"]


def test_the_page_shows_what_readers_would_get(client: TestClient, waiting: str) -> None:
    page = client.get(waiting).text
    assert "Story 0" in page
    assert "Story 1" in page
    assert f'href="{waiting}/mail"' in page
    mail = client.get(f"{waiting}/mail")
    assert mail.headers["content-security-policy"].startswith("sandbox")
    assert "Story 1" in mail.text
    assert "/u/preview" in mail.text, "its links lead to no reader"


@pytest.mark.parametrize(
    ("pressed", "campaign", "said"),
    [("approved", "preparing", "is on its way"), ("stopped", "cancelled", "does not go")],
)
def test_a_button_is_pressed_once(
    client: TestClient, sqlite_parts: Parts, waiting: str, pressed: str, campaign: str, said: str
) -> None:
    other = {"approved": "stopped", "stopped": "approved"}[pressed]
    for decision in (pressed, pressed, other):
        answer = client.post(waiting, data={"decision": decision})
        assert answer.status_code == 200
        assert said in answer.text
        assert "<form" not in answer.text
    assert state(sqlite_parts) == (campaign, pressed, 1)


def test_what_would_be_held_is_said_to_the_editor_and_not_approved(
    client: TestClient, sqlite_parts: Parts, waiting: str
) -> None:
    name = personal.write_template(sqlite_parts, "digest")
    body = sqlite_parts.settings.home / "templates" / name / "body.html"
    mended = body.read_text("utf-8")
    body.write_text("<p>No link.</p>", "utf-8")
    assert "There is no link to leave" in client.get(waiting).text
    answer = client.post(waiting, data={"decision": "approved"}).text
    assert "It cannot go just now: The check found" in answer
    assert "<form" in answer
    assert state(sqlite_parts) == ("draft", "", 0)
    body.write_text(mended, "utf-8")
    assert "on its way" in client.post(waiting, data={"decision": "approved"}).text


@pytest.mark.parametrize("form", [{}, {"decision": "silence"}, {"decision": ""}, {"other": "x"}])
def test_what_is_no_decision_decides_nothing(
    client: TestClient, sqlite_parts: Parts, waiting: str, form: dict[str, str]
) -> None:
    assert client.post(waiting, data=form).status_code == 400
    assert state(sqlite_parts) == ("draft", "", 0)


def test_a_link_that_has_run_out_decides_nothing(
    client: TestClient, sqlite_parts: Parts, waiting: str
) -> None:
    with sqlite_parts.sessions.begin() as session:
        approval = session.scalars(select(Approval)).one()
        approval.until = sqlite_parts.now().replace(microsecond=0) - timedelta(seconds=5)
        until = int(approval.until.timestamp())
    late = sqlite_parts.links.approval(1, 1, until)
    late = late.removeprefix(sqlite_parts.settings.public_url)
    for ask in (client.get, lambda path: client.post(path, data={"decision": "approved"})):
        answer = ask(late)
        assert answer.status_code == 410
        assert "too late" in answer.text
        assert ask(waiting).status_code == 404, "the link of another end is none of ours"
    assert state(sqlite_parts) == ("draft", "", 0)


def test_a_link_that_is_none_tells_nothing(client: TestClient, waiting: str) -> None:
    for path in ("/r/x", waiting[:-1], f"{waiting}A", "/r/x/mail"):
        assert client.get(path).status_code == 404
    assert client.post("/r/x", data={"decision": "approved"}).status_code == 404
