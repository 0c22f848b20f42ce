"""The gate before sending: what has errors does not go unless somebody says so, which is kept."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from shells.endings import STORY, refused

CREATE = ("campaign", "create", "weekly", "--purpose", "updates", "--html", "letter.html")
FAULTY = "<p>Dear {{ name }},</p><p>The news: <a href='/story'>read on</a>.</p>"
STATUSES = {"/ok": 200, "/gone": 404, "/moved": 301, "/busy": 503, "/no-head": 200}


@pytest.fixture
def letter(weekly):
    """Make a draft of some HTML; return its number."""

    def made(html=FAULTY, subject="A letter"):
        Path("letter.html").write_text(html, "utf-8")
        ended = weekly(*CREATE, "--subject", subject, "--json")
        return str(ended.document["campaign_id"])

    return made


@pytest.fixture
def site():
    """A site whose pages answer with STATUSES, on loopback; yields its host and port."""

    class Page(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.do_GET("HEAD")

        def do_GET(self, method="GET"):
            refused = method == "HEAD" and self.path == "/no-head"
            self.send_response(405 if refused else STATUSES[self.path])
            self.send_header("Location", "/ok")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def found(ended):
    return {(each["level"], each["check"]): each["what"] for each in ended.document["findings"]}


def state(weekly, number):
    return weekly("campaign", "show", number, "--json").document["state"]


def test_a_mail_with_errors_is_not_sent_and_the_command_says_what_is_wrong(weekly, letter) -> None:
    number = letter()
    for verb in (["send", number], ["schedule", number, "--at", "2999-01-01T07:00"]):
        ended = weekly("campaign", *verb)
        assert (ended.status, ended.out) == (1, "")
        assert ended.err == (
            "mailer: The check found 2 errors. placeholders: “{{ name }}” looks like a place that "
            "nobody filled in. links: “/story” leads nowhere from a mail. See `mailer campaign "
            f"check {number}`; add --force to send anyway.\n"
        )
        assert state(weekly, number) == "draft"


def test_what_is_forced_goes_and_stands_in_the_audit_trail(weekly, letter) -> None:
    number = letter()
    assert weekly("campaign", "send", number, "--force").status == 0
    assert state(weekly, number) == "preparing"
    trail = weekly("publisher", "trail", "--json").document
    kept = next(each for each in trail if each["action"] == "campaign send")
    assert kept["details"] == {"campaign": int(number), "forced": ["links", "placeholders"]}


def test_where_nothing_is_forced_the_trail_says_nothing_of_it(weekly, letter) -> None:
    number = letter("<p>The river is rising, and two districts are told to leave.</p>")
    ended = weekly("campaign", "send", number, "--force")
    assert ended.status == 0
    assert f"warnings: see `mailer campaign check {number}`" in ended.err
    trail = weekly("publisher", "trail", "--json").document
    assert trail[0]["details"] == {"campaign": int(number)}


def test_breaking_news_with_errors_stay_a_draft(weekly) -> None:
    story = STORY.replace("The river is rising", "The river")
    Path("story.html").write_text(story, "utf-8")
    breaking = (
        "campaign", "breaking", "weekly", "story.html", "--purpose", "updates", "--yes",
        "--subject", "Dear *|FNAME|*",
    )  # fmt: skip
    ended = weekly(*breaking)
    assert ended.status == 1
    assert "*|FNAME|*" in ended.err
    assert state(weekly, "1") == "draft"
    assert weekly(*breaking, "--force").status == 0


def test_the_check_is_one_document(weekly, letter) -> None:
    number = letter()
    ended = weekly("campaign", "check", number, "--json", "--clients", "outlook.windows")
    assert ended.status == 1
    assert ended.document | {"findings": [], "counts": {}} == {
        "campaign_id": int(number), "newsletter": "weekly", "subject": "A letter",
        "passes": False, "counts": {}, "html_octets": ended.document["html_octets"],
        "variants": 1, "clients": ["outlook.windows"],
        "clients_tested_until": ended.document["clients_tested_until"], "findings": [],
    }  # fmt: skip
    assert ended.document["counts"]["error"] == 2
    assert all(
        list(each) == ["level", "check", "where", "what", "mend"]
        for each in ended.document["findings"]
    )
    assert weekly("campaign", "check", number, "--clients", "lotus").status == 1


def test_links_are_asked_and_what_is_gone_is_an_error(weekly, letter, site, monkeypatch) -> None:
    paths = "".join(f"<a href='http://{site}{path}'>{path}</a> " for path in STATUSES)
    number = letter(f"<p>{paths}</p><p><a href='http://127.0.0.1:9/'>closed</a></p>")
    monkeypatch.setenv("MAILER_FETCH_ALLOW", f"{site},127.0.0.1:9")
    ended = weekly("campaign", "check", number, "--json")
    told = {
        each["what"].split(" ")[0].removeprefix(f"http://{site}"): each["level"]
        for each in ended.document["findings"]
        if each["check"] == "links"
    }
    assert told == {"/gone": "error", "/busy": "warning", "http://127.0.0.1:9/": "warning"}
    assert ended.status == 1


def test_one_wrong_name_is_named_and_of_many_the_network_is_blamed_once(
    weekly, letter, site, monkeypatch
) -> None:
    known = socket.getaddrinfo

    def resolve(host, *rest, **named):
        if host.endswith(".org"):
            raise socket.gaierror("nobody can be asked")
        return known(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    one = letter("<p>The river is rising: <a href='https://kassa-nws.org/a'>read on</a>.</p>")
    told = found(weekly("campaign", "check", one, "--json"))
    assert "The host kassa-nws.org is not known" in told["warning", "links"]
    many = letter(
        "<p>The river: <a href='https://kassa.org/a'>one</a> <a href='https://kassa.org/b'>two</a> "
        f"<a href='https://aba.org/c'>three</a> <a href='http://{site}/ok'>inside</a></p>"
    )
    ended = weekly("campaign", "check", many, "--json")
    links = [each["what"] for each in ended.document["findings"] if each["check"] == "links"]
    assert len(links) == 2
    assert "No link could be asked (3)" in links[1] + links[0]


def test_what_leads_into_a_private_network_is_not_asked(weekly, letter, site) -> None:
    number = letter(f"<p>The river is rising: <a href='http://{site}/gone'>read on</a>.</p>")
    told = found(weekly("campaign", "check", number, "--json"))
    assert "is in a private network" in told["warning", "links"]


def test_the_page_shows_what_was_found_and_says_that_there_is_no_browser(
    weekly, letter, tmp_path, monkeypatch
) -> None:
    number = letter(subject="<b>News</b>")
    monkeypatch.setenv("PATH", str(tmp_path))
    written = "campaign", "check", number, "--html", "check.html"
    ended = weekly(*written)
    assert ended.status == 1
    assert "no Chromium is installed" in ended.err
    page = Path("check.html").read_text("utf-8")
    assert "&lt;b&gt;News&lt;/b&gt;" in page
    assert "“/story” leads nowhere from a mail." in page
    assert "default-src" in page
    refused(weekly(*written), "check.html exists already: choose another name, or add --yes.")
    assert "“/story” leads nowhere" in weekly("campaign", "check", number).out


def test_template_check_says_for_what_a_digest_would_be_held(weekly, home) -> None:
    assert weekly("template", "copy", "digest", "--as", "friday").status == 0
    assert weekly("template", "check", "--json").document == []
    body = home / "templates" / "friday" / "body.html"
    body.write_text("<p>{{ newsletter.postal_address }}</p>", "utf-8")
    (told,) = weekly("template", "check", "--json").document
    assert told["what"] == "template friday"
    assert told["says"].startswith("It would be held: unsubscribe: There is no link to leave.")


def test_a_digest_that_a_worker_held_goes_only_by_force(weekly, home) -> None:
    Path("story.html").write_text(STORY, "utf-8")
    assert weekly("template", "copy", "digest", "--as", "friday").status == 0
    body = home / "templates" / "friday" / "body.html"
    body.write_text("<p>{{ newsletter.postal_address }}</p>", "utf-8")
    for line in (
        ["article", "add", "weekly", "story.html"],
        ["digest", "add", "weekly", "friday", "--purpose", "updates", "--cron", "0 7 * * FRI",
         "--template", "friday", "--min-articles", "1"],
        ["digest", "run", "weekly", "friday", "--no-fetch"],
        ["worker", "--until-idle"],
    ):  # fmt: skip
        ended = weekly(*line)
        assert ended.status == 0, ended.err
    assert state(weekly, "1") == "paused"
    assert "campaign 1 is held: The check found an error." in weekly("digest", "list", "weekly").out
    checks = weekly("doctor", "--json").document
    assert "There is no link to leave." in next(
        each["says"] for each in checks if each["check"] == "campaigns"
    )
    ended = weekly("campaign", "resume", "1")
    assert (ended.status, state(weekly, "1")) == (1, "paused")
    assert "no link to leave" in ended.err
    assert weekly("campaign", "resume", "1", "--force").status == 0
    trail = weekly("publisher", "trail", "--json").document
    assert trail[0]["details"] == {"campaign": 1, "forced": ["unsubscribe"]}
    assert state(weekly, "1") == "preparing"
    (listed,) = weekly("digest", "list", "weekly", "--json").document
    assert listed["last_outcome"] == "campaign 1"
