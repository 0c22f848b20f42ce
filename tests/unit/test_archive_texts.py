"""What the archive tells machines: the feed, and the tags of a shared link."""

from __future__ import annotations

from datetime import UTC, datetime

import feedparser
from lxml import html as lxml_html

from mailer.rendering.open_graph import with_open_graph
from mailer.rendering.rss import Item, rss

PAGE = "<!DOCTYPE html><html><head><title>T</title></HEAD><body><p>Text</p></body></html>"


def test_a_feed_reader_gets_back_what_was_told_whatever_stands_in_it() -> None:
    subject = 'Rice & <b>"beans"</b> \x00\x0b\ud800 حرف'
    at = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
    item = Item(subject, "https://n.example/a/x?y=1&z=2", "All of it", at)
    content = rss(
        title="Weekly & more", link="https://n.example/n/w/archive",
        address="https://n.example/n/w/archive.xml", description="Past issues",
        language="pt-BR", items=[item],
    )  # fmt: skip
    told = feedparser.parse(content)
    assert not told.bozo
    assert (told.feed.title, told.feed.language) == ("Weekly & more", "pt-br")
    (entry,) = told.entries
    assert lxml_html.fromstring(entry.title).text_content() == 'Rice & "beans"  حرف'
    assert (entry.link, entry.id) == (item.link, item.link)
    assert entry.published_parsed[:5] == (2026, 3, 1, 6, 30)


def test_a_page_tells_its_title_and_picture_and_nothing_can_break_out_of_a_tag() -> None:
    told = {"og:title": '"><script>alert(1)</script>', "og:description": "", "og:image": "i.png"}
    shown = with_open_graph(PAGE, told, feed="https://n.example/f", canonical="https://n.example/a")
    head = lxml_html.fromstring(shown).find("head")
    metas = {each.get("property") or each.get("name"): each.get("content") for each in head}
    assert metas["og:title"] == told["og:title"]
    assert "og:description" not in metas  # it has no value
    assert metas["twitter:card"] == "summary_large_image"
    assert head.find("script") is None
    assert head.xpath("link[@rel='canonical']/@href") == ["https://n.example/a"]


def test_what_has_no_head_stays_as_it_is() -> None:
    assert with_open_graph("<p>Own</p>", {"og:title": "T"}, feed="f", canonical="c") == "<p>Own</p>"
