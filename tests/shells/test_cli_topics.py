"""Topics by command, from the first one to a digest whose sections each reader chose."""

from __future__ import annotations

from sink import running_sink

FEED = """<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>
<item><title>The council votes</title><link>https://news.example.org/council</link>
<category>Politics</category><description>By one voice.</description></item>
<item><title>The final is drawn</title><link>https://news.example.org/final</link>
<category>Sport</category><description>In the last minute.</description></item>
</channel></rss>"""


def test_from_the_first_topic_to_a_digest_with_the_sections_of_each_reader(
    weekly, tmp_path, monkeypatch
):
    (tmp_path / "feed.xml").write_text(FEED, "utf-8")
    for slug in ("politics", "sport"):
        added = weekly("topic", "add", "weekly", slug, "--label", slug.title(), "--json")
        assert added.document["sections"] == [slug.title()]
    weekly("topic", "edit", "weekly", "sport", "--label", "Le sport", "--locale", "fr")
    add = ["subscriber", "add", "weekly", "bola@readers.test", "--purpose", "updates"]
    fields = weekly(*add, "--source", "paper", "--topic", "sport", "--json").document
    assert fields["topics"] == [{"newsletter": "weekly", "topic": "sport"}]
    [politics, sport] = weekly("topic", "list", "weekly", "--json").document
    assert (politics["readers"], sport["readers"]) == (0, 1)
    assert sport["labels"] == {"en": "Sport", "fr": "Le sport"}
    weekly("feed", "add", "weekly", "feed.xml")
    rule = ["--purpose", "updates", "--cron", "0 7 * * FRI"]
    weekly("digest", "add", "weekly", "friday", *rule)
    number = str(weekly("digest", "run", "weekly", "friday", "--json").document["campaign_id"])
    with running_sink(tmp_path / "accepted") as port:
        monkeypatch.setenv("MAILER_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
        ended = weekly("worker", "--until-idle")
    assert ended.status == 0, ended.err
    for address, titles in (
        ("amina@readers.test", {"The council votes", "The final is drawn"}),
        ("bola@readers.test", {"The final is drawn"}),
    ):
        text = weekly("campaign", "preview", number, "--as", address, "--text").out
        shown = {line for line in text.splitlines() if line.startswith("The ")}
        assert shown & {"The council votes", "The final is drawn"} == titles
    counts = weekly("campaign", "show", number, "--json").document["counts"]
    assert counts["sent"] == 2


def test_topics_of_a_reader_are_set_together_and_taken_off(weekly):
    for slug in ("politics", "sport"):
        weekly("topic", "add", "weekly", slug, "--label", slug.title())
    edit = ["subscriber", "edit", "amina@readers.test", "--json"]
    chosen = weekly(*edit, "--newsletter", "weekly", "--topic", "sport", "--topic", "politics")
    assert [each["topic"] for each in chosen.document["topics"]] == ["politics", "sport"]
    assert weekly(*edit, "--newsletter", "weekly", "--no-topics").document["topics"] == []
    assert weekly(*edit, "--topic", "sport").status == 2
    assert weekly(*edit, "--newsletter", "weekly", "--topic", "gossip").status == 1
    assert weekly("topic", "remove", "weekly", "sport", "--yes").status == 0
    assert "sport" not in weekly("topic", "list", "weekly").out
