"""Themes and templates from the command line, and the live preview in a browser."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from shells.endings import Command, refused

from mailer.cli.template import _rendered
from mailer.cli.template_watch import preview_server


def test_a_theme_is_kept_shown_and_forgotten(weekly: Command) -> None:
    ended = weekly("theme", "set", "weekly", "--accent", "#0F766E", "--font", "magazine")
    assert ended.status == 0
    assert "In dark mode the accent #0f766e has a contrast of 3.1:1" in ended.err
    shown = weekly("theme", "show", "weekly", "--json").document
    assert shown["light"]["accent"] == "#0f766e"
    assert shown["set"] == ["accent", "font"]
    assert weekly("theme", "set", "weekly", "--font", "", "--json").document["set"] == ["accent"]
    assert weekly("theme", "reset", "weekly", "--json").document["set"] == []


def test_a_theme_that_cannot_be_read_changes_nothing(weekly: Command) -> None:
    refused(
        weekly("theme", "set", "weekly", "--accent", "#ff9900"),
        "accent #ff9900 cannot be read on sheet #ffffff: the contrast is 2.14:1, and 4.5:1 is "
        "needed: #a16000 would do.",
    )
    assert weekly("theme", "show", "weekly", "--json").document["set"] == []
    assert weekly("theme", "set", "weekly").status == 2


def test_a_campaign_has_the_theme_of_its_newsletter(weekly: Command, tmp_path: Path) -> None:
    (tmp_path / "letter.html").write_text("<p>Hello, readers of the port.</p>", "utf-8")
    weekly("theme", "set", "weekly", "--accent", "#0f766e", "--footer", "Printed in Kassa")
    weekly(
        "campaign", "create", "weekly", "--purpose", "updates", "--subject", "News",
        "--html", "letter.html",
    )  # fmt: skip
    html = weekly("campaign", "preview", "1", "--html").out
    assert "#0f766e" in html
    assert "Printed in Kassa" in html


def test_breaking_news_has_the_template_of_its_own(weekly: Command, tmp_path: Path) -> None:
    (tmp_path / "letter.html").write_text("<p>The bridge has fallen.</p>", "utf-8")
    weekly(
        "campaign", "create", "weekly", "--purpose", "updates", "--subject", "The bridge is down",
        "--html", "letter.html", "--lane", "breaking",
    )  # fmt: skip
    text = weekly("campaign", "preview", "1").out
    assert "Breaking news" in text
    assert "The bridge has fallen." in text


def test_a_copied_template_is_listed_used_and_never_written_over(
    weekly: Command, home: Path
) -> None:
    ended = weekly("template", "copy", "digest", "--as", "friday", "--json")
    assert ended.document["folder"] == str(home / "templates" / "friday")
    (home / "templates" / "friday" / "subject.txt").write_text("Friday!", "utf-8")
    rows = {row["template"]: row["own"] for row in weekly("template", "list", "--json").document}
    assert rows["friday"]
    assert not rows["digest"]
    assert weekly("template", "preview", "friday").out.startswith("Subject: Friday!\n")
    again = weekly("template", "copy", "digest", "--as", "friday")
    assert again.status == 1
    assert "is there already" in again.err
    assert weekly("template", "copy", "digest", "--as", "../x").status == 1
    assert weekly("template", "copy", "nothing").status == 1


def test_a_changed_base_changes_every_mail(weekly: Command, home: Path) -> None:
    weekly("template", "copy", "_layout")
    base = home / "templates" / "_layout" / "base.html"
    base.write_text(base.read_text("utf-8").replace("<body>", "<body><p>OURS</p>"), "utf-8")
    for name in ("digest", "confirmation"):
        assert "OURS" in weekly("template", "preview", name, "--json").document["html"]


def test_a_broken_template_is_named_with_file_and_line(weekly: Command, home: Path) -> None:
    weekly("template", "copy", "digest", "--as", "friday")
    body = home / "templates" / "friday" / "body.html"
    body.write_text(body.read_text("utf-8") + "{{ ''.__class__ }}\n", "utf-8")
    body.write_text("{{ articles[0].titel }}\n", "utf-8")
    where = "Template friday/body.html, line 1: "
    ended = weekly("template", "preview", "friday")
    assert ended.status == 1
    assert where in ended.err
    checked = weekly("template", "check", "--json")
    assert checked.status == 1
    assert [row["says"].startswith(where) for row in checked.document] == [True]
    found = {row["check"]: row for row in weekly("doctor", "--json").document}
    assert where in found["templates"]["says"]
    assert found["languages"]["fine"]
    (home / "templates" / "friday" / "body.txt").unlink()
    assert "body.txt is missing" in weekly("template", "check", "--json").out


def test_a_preview_speaks_the_language_that_is_asked_for(weekly: Command, tmp_path: Path) -> None:
    arabic = weekly("template", "preview", "confirmation", "--locale", "ar", "--html", "a.html")
    assert arabic.status == 0
    html = (tmp_path / "a.html").read_text("utf-8")
    assert 'lang="ar" dir="rtl"' in html
    assert "تأكيد" in html
    assert weekly("template", "preview", "digest", "--locale", "a.html").status == 1
    assert weekly("template", "preview", "digest", "--html", "a.html").status == 1  # is there
    weekly("newsletter", "edit", "weekly", "--locale", "fr")
    named = weekly("template", "preview", "confirmation", "--newsletter", "weekly").out
    assert "Veuillez confirmer : Weekly" in named


@pytest.fixture
def watched(weekly: Command, home: Path) -> Iterator[tuple[str, Path]]:
    """A copied template and where its live preview is."""
    weekly("template", "copy", "digest", "--as", "friday")

    def rendered(locale: str | None, pictures: dict[str, str]):
        return _rendered("friday", locale, None, pictures)

    server = preview_server("friday", rendered, None, home / "templates", port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", home / "templates" / "friday"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_live_preview_shows_every_change_and_every_error(watched: tuple[str, Path]) -> None:
    address, folder = watched
    with httpx2.Client(trust_env=False, base_url=address) as browser:
        page = browser.get("/?locale=ar").text
        assert "friday" in page
        assert 'lang="ar" aria-current="true"' in page
        assert "<h1" in browser.get("/mail").text
        assert 'dir="rtl"' in browser.get("/mail?locale=ar").text
        assert "Subject: " in browser.get("/text").text
        assert "@media (prefers-color-scheme: dark)" not in browser.get("/dark").text
        before = browser.get("/version").json()
        assert browser.get("/version").json() == before
        (folder / "body.html").write_text("<h1>{{ nobody }}</h1>", "utf-8")
        assert browser.get("/version").json() != before
        assert "friday/body.html, line 1" in browser.get("/mail").text
        assert "friday/body.html, line 1" in browser.get("/text").text
        assert browser.get("/elsewhere").status_code == 404


def test_the_live_preview_answers_loopback_alone(watched: tuple[str, Path]) -> None:
    with httpx2.Client(trust_env=False) as browser:
        answer = browser.get(f"{watched[0]}/mail", headers={"Host": "news.example"})
    assert answer.status_code == 421


def test_sample_content_is_whole_in_every_language() -> None:
    path = Path("mailer/services/samples/stories.json")
    samples = json.loads((Path(__file__).parents[2] / path).read_text("utf-8"))
    for sample in samples.values():
        assert sample.keys() == samples["en"].keys()
        assert [story.keys() for story in sample["stories"]] == [
            story.keys() for story in samples["en"]["stories"]
        ]
