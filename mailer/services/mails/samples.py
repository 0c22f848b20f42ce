"""What a template looks like before there is anything to send: invented content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mailer.checking.mail import About, Mail, read_mail
from mailer.domain.locales import direction
from mailer.domain.themes import theme_of
from mailer.rendering import (
    CompiledMessage,
    ReaderValues,
    StaticHeaders,
    compile_message,
    load_template,
    look,
)
from mailer.store.models import Newsletter

PICTURES = ("river-port", "solar-village", "night-train")
"""The pictures of the sample stories, in their order."""

_PAYWALLED = PICTURES[1]
_MOMENT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
_SIZE = (1200, 675)
_HOST = "https://news.example"
_NONCE = "0123456789abcdef"  # nobody's content stands in a sample


def sample_message(
    name: str,
    locale: str,
    *,
    own_templates: Path | None,
    pictures: Mapping[str, str],
    newsletter: Newsletter | None = None,
    theme: Mapping[str, str] | None = None,
) -> CompiledMessage:
    """Compile a template with sample content in the locale, or in English where there is none.

    `pictures` says where each of PICTURES is. With a newsletter the mail has its name, address and
    theme. Raises TemplateRefused, naming file and line.
    """
    content = _stories(locale)
    headers = StaticHeaders(
        from_name=newsletter.from_name if newsletter else content["newsletter"],
        from_address="news@news.example",
        language=locale,
        reply_to=None,
    )
    settings = newsletter.theme if newsletter else theme or {}
    context = {
        **_house(content, locale, newsletter),
        **_told(content, name, pictures),
        "theme": look(theme_of(settings), locale),
    }
    template = load_template(name, own_templates, locale)
    return compile_message(template, context, headers, nonce=_NONCE, reader=sample_reader())


def sample_reader() -> ReaderValues:
    """Return the values of a reader who is nobody; the links lead nowhere."""
    return ReaderValues(
        email="amina@readers.example",
        name="Amina Okafor",
        unsubscribe_url=f"{_HOST}/u/sample",
        preferences_url=f"{_HOST}/p/sample",
        confirm_url=f"{_HOST}/c/sample",
        export_url=f"{_HOST}/d/sample",
        erase_url=f"{_HOST}/e/sample",
        message_id="<sample@news.example>",
        date=_MOMENT,
        delivery="sample",
    )


def sample_mail(message: CompiledMessage, locale: str) -> Mail:
    """Return the sample reader's mail as it is checked."""
    reader = sample_reader()
    about = About(
        postal_address=_stories(locale)["address"],
        unsubscribe_url=reader.unsubscribe_url,
        preferences_url=reader.preferences_url,
        own_url=_HOST,
    )
    return read_mail(message.personalise(reader), about)


def _house(
    content: Mapping[str, Any], locale: str, newsletter: Newsletter | None
) -> dict[str, Any]:
    return {
        "publisher": {
            "name": content["publisher"], "address": content["address"],
            "contact": "privacy@news.example",
        },
        "newsletter": {
            "name": newsletter.name if newsletter else content["newsletter"],
            "slug": newsletter.slug if newsletter else "sample",
            "locale": locale,
            "dir": direction(locale),
            "postal_address": newsletter.postal_address if newsletter else content["address"],
            "privacy_url": f"{_HOST}/privacy",
            "terms_url": "",
        },
    }  # fmt: skip


def _told(content: Mapping[str, Any], name: str, pictures: Mapping[str, str]) -> dict[str, Any]:
    """Return everything that any of our mails may speak of."""
    labels = [content["purpose"], *content["more_purposes"]]
    return {
        "campaign": {
            "subject": content["subject"],
            "preheader": content["preheader"],
            "archive_url": f"{_HOST}/a/sample",
            "date": _MOMENT.isoformat(),
            "timezone": "Africa/Lagos",
            "purpose_label": content["purpose"],
            "answer_by": "2026-12-31T12:00:00+00:00",
            "body_html": content["body_html"] if name == "announcement" else "",
        },
        "topics": [],
        "articles": [] if name == "announcement" else _articles(content, pictures),
        "purposes": labels[:2],
        "notice": content["notice"]
        if name == "confirmation"
        else {"text": content["notice"], "purposes": [{"label": label} for label in labels]},
        "approval": {
            "approve_url": f"{_HOST}/r/sample",
            "stop_url": f"{_HOST}/r/sample?stop",
            "until": "2026-12-31 13:00",
            "timezone": "Africa/Lagos",
        },
        "days": 3,
        "note": "news.example/log\n4096\nGv2rO0nbx3zBzlz7p1k8p4FhJx8z9Yb7qWb7m7sY8kE=",
        "size": 4096,
    }


def _articles(content: Mapping[str, Any], pictures: Mapping[str, str]) -> list[dict[str, Any]]:
    width, height = _SIZE
    told = zip(content["stories"], PICTURES, strict=True)
    elsewhere = {"name": "Radio Kassa", "url": "https://radio.example/port"}
    return [
        {
            "id": number,
            "title": story["title"],
            "summary": story["summary"],
            "url": f"{_HOST}/{picture}",
            "section": story["section"],
            "author": story["author"],
            "published_at": _MOMENT.isoformat(),
            "language": content["language"],
            "paywalled": picture == _PAYWALLED,
            "sources": [
                {"name": content["newsletter"], "url": f"{_HOST}/{picture}"},
                *([elsewhere] if picture == PICTURES[0] else ()),
            ],
            "image": {
                "url": pictures[picture], "alt": story["caption"], "caption": story["caption"],
                "credit": story["credit"], "width": width, "height": height,
            },
        }
        for number, (story, picture) in enumerate(told, start=1)
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _samples() -> dict[str, dict[str, Any]]:
    text = files("mailer.services").joinpath("samples/stories.json").read_text("utf-8")
    samples: dict[str, dict[str, Any]] = json.loads(text)
    return samples


def _stories(locale: str) -> dict[str, Any]:
    samples, language = _samples(), locale.split("-")[0]
    spoken = language if language in samples else "en"
    return {**samples[spoken], "language": spoken}
