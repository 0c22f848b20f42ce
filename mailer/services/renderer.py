"""Compiling mails: from frozen content to a variant that any worker can fill.

One renderer for preview, test, archive and send, so that the editor sees what the reader gets.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.links import Links
from mailer.domain.locales import direction
from mailer.domain.schedule import zone
from mailer.domain.themes import theme_of
from mailer.rendering import (
    CompiledMessage,
    ReaderValues,
    StaticHeaders,
    compile_message,
    load_template,
    look,
)
from mailer.services.composing import MailIdentity
from mailer.services.notices import label_shown
from mailer.store.models import Campaign, Newsletter, Notice, Publisher, Purpose, Variant
from mailer.store.once import insert_once


class Renderer:
    """Compiles campaigns and confirmations with the templates of one folder."""

    def __init__(self, links: Links, identity: MailIdentity, own_templates: Path | None) -> None:
        self._links = links
        self._identity = identity
        self._own_templates = own_templates

    def message_id(self, delivery_id: int) -> str:
        """Return the Message-ID of a delivery."""
        return self._identity.message_id(delivery_id)

    def campaign_message(self, session: Session, campaign: Campaign) -> CompiledMessage:
        """Compile the campaign's frozen content; costs up to 200 ms, so once per variant."""
        newsletter = campaign.newsletter
        notice = _asks_about(session, campaign)
        locale = notice.locale if notice else newsletter.locale
        context = {
            **_house(session, newsletter, locale),
            "campaign": {
                "subject": campaign.subject,
                "preheader": campaign.preheader,
                "archive_url": self._links.archive(campaign.public_id),
                "date": (campaign.started_at or campaign.created_at).isoformat(),
                "timezone": newsletter.timezone,
                "purpose_label": label_shown(newsletter, campaign.purpose, notice),
                "answer_by": campaign.content.get("answer_by", ""),
                "body_html": campaign.content.get("body_html", ""),
            },
            "articles": campaign.content.get("articles", []),
            "notice": {"text": notice.text, "purposes": list(notice.purposes)} if notice else None,
        }
        headers = _sender_headers(
            newsletter,
            locale=locale,
            list_id=f"{newsletter.slug}.{self._identity.domain}",
            list_help_url=self._links.signup(newsletter.slug),
            feedback_id=f"{campaign.id}:{newsletter.slug}:campaign:{self._identity.domain}"[:120],
        )
        return self._compile(campaign.template, context, headers)

    def store_campaign_variant(
        self, session: Session, campaign: Campaign, compiled: CompiledMessage, *, now: datetime
    ) -> int:
        """Keep the campaign's mail, compiled for its newsletter's locale; return the id.

        The first that is kept stays.
        """
        return _stored(
            session,
            f"campaign:{campaign.id}",
            campaign.newsletter.locale,
            lambda: compiled,
            now,
            campaign.id,
        )

    def store_test_variant(
        self, session: Session, campaign: Campaign, compiled: CompiledMessage, *, now: datetime
    ) -> int:
        """Keep the campaign's mail as it was compiled for one test; return the id."""
        source = f"test:{secrets.token_hex(16)}"
        return _stored(session, source, campaign.newsletter.locale, lambda: compiled, now)

    def sent_message(self, session: Session, campaign: Campaign) -> CompiledMessage:
        """Return the mail as readers get it, or, before the start, as they would get it now."""
        compiled = session.scalar(
            select(Variant.compiled).where(Variant.campaign_id == campaign.id).limit(1)
        )
        if compiled is not None:
            return CompiledMessage.from_json(compiled)
        return self.campaign_message(session, campaign)

    def check_template(self, name: str) -> None:
        """Raise TemplateRefused where there is no such template."""
        load_template(name, self._own_templates)

    def store_confirmation_variant(
        self,
        session: Session,
        newsletter: Newsletter,
        purposes: Sequence[Purpose],
        notice: Notice | None,
        *,
        now: datetime,
    ) -> int:
        """Compile the mail that asks to confirm, once for all who saw the same wording."""
        locale = notice.locale if notice else newsletter.locale
        context = {
            **_house(session, newsletter, locale),
            "purposes": [label_shown(newsletter, purpose, notice) for purpose in purposes],
            "notice": notice.text if notice else "",
        }
        headers = _sender_headers(newsletter, locale=locale, auto_submitted=True)
        described = json.dumps([context, repr(headers)], sort_keys=True).encode()
        source = f"confirmation:{hashlib.sha256(described).hexdigest()}"
        return _stored(
            session, source, locale, lambda: self._compile("confirmation", context, headers), now
        )

    def store_service_variant(
        self, session: Session, newsletter: Newsletter, template: str, locale: str, *,
        days: int, now: datetime,
    ) -> int:  # fmt: skip
        """Compile the mail that answers a reader's own request, once for all.

        Its link lives `days`. Nothing that anybody typed stands in it.
        """
        locale = locale or newsletter.locale
        return self._store_automatic(session, newsletter, template, locale, {"days": days}, now)

    def store_checkpoint_variant(
        self, session: Session, newsletter: Newsletter, note: str, size: int, *, now: datetime
    ) -> int:
        """Compile the mail that carries a checkpoint of the consent log to somebody outside."""
        locale = "en"  # the words of the template
        told = {"note": note.rstrip("\n"), "size": size}
        return self._store_automatic(session, newsletter, "checkpoint", locale, told, now)

    def approval_message(
        self, session: Session, campaign: Campaign, *, until: datetime, serial: int
    ) -> CompiledMessage:
        """Compile the mail that asks an editor whether the campaign may go.

        It holds the articles as readers get them, and two links that press nothing by themselves.
        """
        newsletter = campaign.newsletter
        link = self._links.approval(newsletter.id, campaign.id, serial)
        context = {
            **_house(session, newsletter),
            "campaign": {
                "subject": campaign.subject,
                "preheader": campaign.preheader,
                "date": campaign.created_at.isoformat(),
                "timezone": newsletter.timezone,
            },
            "articles": campaign.content.get("articles", []),
            "approval": {
                "approve_url": link,
                "stop_url": f"{link}?stop",
                "until": until.astimezone(zone(newsletter.timezone)).strftime("%Y-%m-%d %H:%M"),
                "timezone": newsletter.timezone,
            },
        }
        headers = _sender_headers(newsletter, auto_submitted=True)
        return self._compile("approval", context, headers)

    def _store_automatic(
        self, session: Session, newsletter: Newsletter, template: str, locale: str,
        told: dict[str, Any], now: datetime,
    ) -> int:  # fmt: skip
        """Compile a mail that nobody wrote by hand, unless the same one is kept already."""
        context = {**_house(session, newsletter, locale), **told}
        headers = _sender_headers(newsletter, locale=locale, auto_submitted=True)
        described = json.dumps([context, repr(headers)], sort_keys=True).encode()
        source = f"{template}:{hashlib.sha256(described).hexdigest()}"
        return _stored(
            session, source, locale, lambda: self._compile(template, context, headers), now
        )

    def sample_values(self, *, email: str, name: str = "", now: datetime) -> ReaderValues:
        """Return the values of nobody: links that lead to the sign-up page, not to a reader."""
        return ReaderValues(
            email=email,
            name=name,
            unsubscribe_url=f"{self._links.public_url}/u/preview",
            preferences_url=f"{self._links.public_url}/p/preview",
            confirm_url=f"{self._links.public_url}/c/preview",
            message_id=f"<preview@{self._identity.domain}>",
            date=now,
            delivery="preview",
            export_url=f"{self._links.public_url}/d/preview",
            erase_url=f"{self._links.public_url}/e/preview",
        )

    def _compile(
        self, template: str, context: Mapping[str, Any], headers: StaticHeaders
    ) -> CompiledMessage:
        return compile_message(
            load_template(template, self._own_templates, headers.language),
            context,
            headers,
            nonce=secrets.token_hex(8),
        )


def _stored(
    session: Session,
    source: str,
    key: str,
    compile_it: Callable[[], CompiledMessage],
    now: datetime,
    campaign_id: int | None = None,
) -> int:
    """Return the id of the variant; compile it where nobody has. Two at once keep the first."""
    found = select(Variant.id).where(Variant.source == source, Variant.key == key)
    known = session.scalar(found)
    if known is not None:
        return known
    values = {
        "campaign_id": campaign_id,
        "source": source,
        "key": key,
        "compiled": compile_it().to_json(),
        "compiled_at": now,
    }
    insert_once(session, Variant, values)
    return session.scalars(found).one()


def _asks_about(session: Session, campaign: Campaign) -> Notice | None:
    """Return the wording that the campaign asks readers to agree to."""
    if campaign.renews_notice_id is None:
        return None
    return session.get_one(Notice, campaign.renews_notice_id)


def _house(session: Session, newsletter: Newsletter, locale: str = "") -> dict[str, Any]:
    """Return what every mail says of its sender."""
    publisher = session.get(Publisher, 1)
    locale = locale or newsletter.locale
    return {
        "theme": look(theme_of(newsletter.theme), locale),
        "publisher": {
            "name": publisher.name if publisher else newsletter.name,
            "address": publisher.address if publisher else "",
            "contact": publisher.contact if publisher else "",
        },
        "newsletter": {
            "name": newsletter.name,
            "slug": newsletter.slug,
            "locale": locale,
            "dir": direction(locale),
            "postal_address": newsletter.postal_address,
            "privacy_url": newsletter.privacy_url,
            "terms_url": newsletter.terms_url,
        },
    }


def _sender_headers(newsletter: Newsletter, locale: str = "", **more: Any) -> StaticHeaders:
    return StaticHeaders(
        from_name=newsletter.from_name,
        from_address=newsletter.from_address,
        reply_to=newsletter.reply_to or None,
        language=locale or newsletter.locale,
        **more,
    )
