"""What a mail costs that differs by reader, beside a render for each of them; prints JSON.

    python -m bench.personal --readers 100000

A digest of twelve stories in six sections goes to readers who chose topics in 20 different ways.
Compiled: the reader's outcome is chosen, and the compiled mail is filled. Naive: Jinja2 renders the
digest for this one reader, premailer inlines it, EmailMessage encodes it; the templates are parsed
once.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader
from premailer import Premailer
from sqlalchemy import func, select, text

from bench import content
from mailer.rendering import CompiledMessage, Outcomes, ReaderValues
from mailer.rendering.environment import built_in_folder, reader_environment
from mailer.services.mails.choosing import Home, details, stored_path
from mailer.services.mails.renderer import Renderer, variants_of
from mailer.services.newsletters.topics import add_topic
from mailer.store.models import Article, Campaign, Newsletter, Variant
from mailer.store.profiles import profiles
from mailer.wiring import Parts

SECTIONS = ("Economy", "Politics", "Culture", "Sport", "Science", "Opinion")
_OUTCOMES = 20
_STORIES = 12
"""So many make a mail of about 28 KB on the wire for a reader who chose some of the topics."""
_TRIED = 2_000
_ROUNDS = 5
"""Both ways in turn, so that what the machine does besides hits both; figures are medians."""


class _Watching(Renderer):
    """Keeps what it compiled from, so that the naive way renders the very same."""

    seen: tuple[str, Mapping[str, Any]]

    def _compile(self, template: str, context: Mapping[str, Any], *rest: Any) -> CompiledMessage:
        self.seen = template, context
        return super()._compile(template, context, *rest)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, and print what it came to."""
    parser = argparse.ArgumentParser(
        prog="bench.personal", description=(__doc__ or "").split(";")[0]
    )
    parser.add_argument("--readers", type=int, default=100_000)
    parser.add_argument(
        "--naive", type=int, default=10, help="mails a round to render the naive way"
    )
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="mailer-bench-"))
    try:
        settings = content.settings(folder, f"sqlite:///{folder}/bench.db", 1, 1)
        parts = content.install(settings, options.readers, _STORIES)
        try:
            measured = _measure(parts, options.readers, options.naive)
        finally:
            parts.engine.dispose()
    finally:
        shutil.rmtree(folder)
    print(json.dumps(measured))
    return measured


def _measure(parts: Parts, readers: int, naive: int) -> dict[str, Any]:
    _choose_topics(parts, readers)
    compiled: list[float] = []
    compile_it = parts.renderer.campaign_message

    def timed(*given: Any, **named: Any) -> CompiledMessage:
        began = time.perf_counter()
        message = compile_it(*given, **named)
        compiled.append(time.perf_counter() - began)
        return message

    parts.renderer.campaign_message = timed  # type: ignore[method-assign]
    began = time.perf_counter()
    campaign_id = content.start(parts)
    preparing = time.perf_counter() - began
    with parts.sessions() as session:
        kept = session.scalar(select(func.count()).select_from(Variant)) or 0
        campaign = session.get_one(Campaign, campaign_id)
        newsletter = campaign.newsletter
        home = Home(newsletter.locale, newsletter.timezone)
        variants = variants_of(session, campaign)
        messages = {each.id: CompiledMessage.from_json(each.compiled) for each in variants}
        outcomes = Outcomes((each.id, each.locale, stored_path(each.path)) for each in variants)
        sample = range(1, min(readers, _TRIED) + 1)
        people = profiles(session.connection(), newsletter.id, sample)
        watching = _Watching(parts.links, parts.identity, None)
        watching.campaign_message(session, campaign)
        links = parts.renderer.sample_values(
            email="r@readers.example", newsletter=newsletter, now=parts.now()
        )

    def fill(number: int) -> bytes:
        known = details(people[number], home)
        chosen = outcomes.choose(known, home.locale)
        values = known._replace(
            unsubscribe_url=f"{links.unsubscribe_url}{number}",
            preferences_url=f"{links.preferences_url}{number}",
            message_id=links.message_id, date=links.date, delivery=links.delivery,
        )  # fmt: skip
        return messages[chosen or 0].personalise(values)

    render = _naive(*watching.seen)
    some = [details(people[number], home) for number in list(sample)[: max(naive, 1)]]
    rounds = [(_seconds(fill, list(sample)), _seconds(render, some)) for _ in range(_ROUNDS)]
    return {
        "readers": readers,
        "outcomes": kept,
        "compiled": len(compiled),
        "compile_ms": round(1e3 * sum(compiled) / len(compiled), 1),
        "preparing_seconds": round(preparing, 2),
        "compiled_us_per_reader": round(median(fast for fast, _ in rounds) * 1e6, 1),
        "naive_ms_per_reader": round(median(slow for _, slow in rounds) * 1e3, 1),
        "octets": sum(len(fill(number)) for number in sample) // len(sample),
        "ratio": round(median(slow / fast for fast, slow in rounds)),
    }


def _seconds(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return what one item takes."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return (time.perf_counter() - began) / len(items)


def _naive(name: str, context: Mapping[str, Any]) -> Callable[[ReaderValues], bytes]:
    environment = Environment(
        loader=FileSystemLoader(built_in_folder()),
        autoescape=lambda file: bool(file and file.endswith(".html")),
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]
    known = reader_environment("en")
    environment.filters.update({**known.filters, **environment.filters})
    environment.globals["decided"] = known.globals["decided"]

    def render(values: ReaderValues) -> bytes:
        links = {"unsubscribe": "https://x.example/u", "preferences": "https://x.example/p"}
        names: dict[str, Any] = {**context, "reader": values, "links": links}

        def part(file: str) -> str:
            return environment.get_template(f"{name}/{file}").render(names)

        message = EmailMessage()
        message["From"], message["To"] = "weekly@news.example.org", values.email
        message["Subject"] = part("subject.txt")
        names["preheader"] = part("preheader.txt")
        message.set_content(part("body.txt"))
        inlined = Premailer(
            part("body.html"),
            keep_style_tags=True,
            disable_validation=True,
            cssutils_logging_level=logging.CRITICAL,
        ).transform()
        message.add_alternative(inlined, subtype="html")
        return message.as_bytes()

    return render


def _choose_topics(parts: Parts, readers: int) -> None:
    """Give every story a section of its own, and each reader one of 20 choices of topics."""
    with parts.sessions.begin() as session:
        made = session.scalars(select(Newsletter)).one()
        topics = [
            add_topic(session, made, section.lower(), labels={"en": section}).id
            for section in SECTIONS
        ]
        known = session.scalars(select(Article).order_by(Article.id)).all()
        for place, article in enumerate(known):
            article.section = SECTIONS[place % len(SECTIONS)]
        for place, topic in enumerate(topics):
            session.execute(
                text(
                    "INSERT INTO reader_topic (subscriber_id, topic_id) "
                    f"SELECT id, {topic} FROM subscriber "
                    f"WHERE ((id % {_OUTCOMES}) * 3) & {1 << place}"
                )
            )


if __name__ == "__main__":
    main()
