"""Compiling mails: from frozen content to a variant that any worker can fill.

One renderer for preview, test, archive and send, so that the editor sees what the reader gets.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, defer

from mailer.domain.links import Links
from mailer.domain.locales import direction
from mailer.domain.schedule import zone
from mailer.domain.themes import theme_of
from mailer.rendering import (
    CompiledMessage,
    Outcomes,
    ReaderValues,
    StaticHeaders,
    compile_message,
    load_template,
    look,
    variant_key,
)
from mailer.services.mails.choosing import Home, details, locale_of, nobody, stored_path
from mailer.services.mails.composing import MailIdentity
from mailer.services.mails.freezing import shown_articles
from mailer.services.newsletters.notices import label_shown
from mailer.services.newsletters.topics import topics_now, topics_shown
from mailer.store.models import Campaign, Newsletter, Notice, Publisher, Purpose, Variant
from mailer.store.once import insert_once
from mailer.store.profiles import Profile

_NOBODY = "reader@example.com"


class Renderer:
    """Compiles campaigns and confirmations with the templates of one folder."""

    def __init__(self, links: Links, identity: MailIdentity, own_templates: Path | None) -> None:
        self._links = links
        self._identity = identity
        self._own_templates = own_templates

    @property
    def public_url(self) -> str:
        """The address under which our own pages are."""
        return self._links.public_url

    def message_id(self, delivery_id: int) -> str:
        """Return the Message-ID of a delivery."""
        return self._identity.message_id(delivery_id)

    def campaign_message(
        self,
        session: Session,
        campaign: Campaign,
        *,
        reader: Profile | None = None,
        locale: str | None = None,
    ) -> CompiledMessage:
        """Compile the campaign's frozen content; costs up to 200 ms, so once per variant.

        It is for the reader, and for all for whom its conditions come out the same; without one,
        for somebody who has told us nothing. Raises TemplateRefused, and CannotWorkOut where a
        condition cannot be worked out.
        """
        newsletter = campaign.newsletter
        notice = _asks_about(session, campaign)
        home = Home(newsletter.locale, newsletter.timezone)
        whom = reader or nobody(_NOBODY, home)
        locale = locale or locale_of(whom, home, notice.locale if notice else None)
        topics = campaign.content.get("topics")  # kept from the start on
        if topics is None:
            topics = topics_now(session, newsletter)
        context = {
            **_house(session, newsletter, locale),
            "campaign": {
                "subject": campaign.subject,
                "preheader": campaign.preheader,
                "archive_url": self._links.archive(campaign.public_id),
                "date": (campaign.started_at or campaign.created_at).isoformat(),
                "timezone": newsletter.timezone,
                "purpose_label": (
                    label_shown(newsletter, campaign.purpose, notice)
                    if notice
                    else campaign.purpose.label(locale, newsletter.locale)
                ),
                "answer_by": campaign.content.get("answer_by", ""),
                "body_html": campaign.content.get("body_html", ""),
            },
            "articles": shown_articles(campaign.content, self._links),
            "topics": topics_shown(topics, locale, newsletter.locale),
            "correction": campaign.content.get("correction"),
            "notice": {"text": notice.text, "purposes": list(notice.purposes)} if notice else None,
        }
        headers = _sender_headers(
            newsletter,
            locale=locale,
            list_id=f"{newsletter.slug}.{self._identity.domain}",
            list_help_url=self._links.signup(newsletter.slug),
            feedback_id=f"{campaign.id}:{newsletter.slug}:campaign:{self._identity.domain}"[:120],
        )
        return self._compile(campaign.template, context, headers, details(whom, home))

    def store_campaign_variant(
        self, session: Session, campaign: Campaign, compiled: CompiledMessage, *, now: datetime
    ) -> int:
        """Keep the campaign's mail for one locale and outcome; return the id.

        The first that is kept stays.
        """
        return _stored(session, _source(campaign), compiled, now, campaign)

    def store_test_variant(
        self, session: Session, campaign: Campaign, compiled: CompiledMessage, *, now: datetime
    ) -> int:
        """Keep the campaign's mail as it was compiled for one test; return the id."""
        source = f"test:{secrets.token_hex(16)}"
        return _stored(session, source, compiled, now)

    def sent_message(
        self, session: Session, campaign: Campaign, reader: Profile | None = None
    ) -> CompiledMessage:
        """Return the mail as this reader gets it, or, before the start, would get it now.

        Without a reader: as somebody gets it who has told us nothing, which is what everybody may
        see.
        """
        kept = variants_of(session, campaign)
        if kept:
            home = Home(campaign.newsletter.locale, campaign.newsletter.timezone)
            notice = _asks_about(session, campaign)
            whom = reader or nobody(_NOBODY, home)
            locale = locale_of(whom, home, notice.locale if notice else None)
            outcomes = Outcomes((each.id, each.locale, stored_path(each.path)) for each in kept)
            found = outcomes.choose(details(whom, home), locale)
            if found is None and not campaign.personal:
                found = kept[0].id
            if found is not None:
                return CompiledMessage.from_json(session.get_one(Variant, found).compiled)
        return self.campaign_message(session, campaign, reader=reader)

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
        return self._stored_once(session, source, "confirmation", context, headers, now)

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
            "articles": shown_articles(campaign.content, self._links),
            "approval": {
                "approve_url": link,
                "stop_url": f"{link}?stop",
                "until": until.astimezone(zone(newsletter.timezone)).strftime("%Y-%m-%d %H:%M"),
                "timezone": newsletter.timezone,
            },
        }
        headers = _sender_headers(newsletter, auto_submitted=True)
        return self._compile("approval", context, headers, None)

    def _store_automatic(
        self, session: Session, newsletter: Newsletter, template: str, locale: str,
        told: dict[str, Any], now: datetime,
    ) -> int:  # fmt: skip
        """Compile a mail that nobody wrote by hand, unless the same one is kept already."""
        context = {**_house(session, newsletter, locale), **told}
        headers = _sender_headers(newsletter, locale=locale, auto_submitted=True)
        described = json.dumps([context, repr(headers)], sort_keys=True).encode()
        source = f"{template}:{hashlib.sha256(described).hexdigest()}"
        return self._stored_once(session, source, template, context, headers, now)

    def sample_values(
        self, *, email: str, newsletter: Newsletter, reader: Profile | None = None, now: datetime
    ) -> ReaderValues:
        """Return a reader's values, or nobody's, with links that lead to nobody."""
        home = Home(newsletter.locale, newsletter.timezone)
        return details(reader or nobody(email, home), home)._replace(
            email=email,
            unsubscribe_url=f"{self._links.public_url}/u/preview",
            preferences_url=f"{self._links.public_url}/p/preview",
            confirm_url=f"{self._links.public_url}/c/preview",
            message_id=f"<preview@{self._identity.domain}>",
            date=now,
            delivery="preview",
            export_url=f"{self._links.public_url}/d/preview",
            erase_url=f"{self._links.public_url}/e/preview",
        )

    def _stored_once(
        self, session: Session, source: str, template: str, context: Mapping[str, Any],
        headers: StaticHeaders, now: datetime,
    ) -> int:  # fmt: skip
        """Return the id of the variant; compile it where nobody has. No reader steers it."""
        known = session.scalar(select(Variant.id).where(Variant.source == source))
        if known is not None:
            return known
        return _stored(session, source, self._compile(template, context, headers, None), now)

    def _compile(
        self, template: str, context: Mapping[str, Any], headers: StaticHeaders,
        reader: ReaderValues | None,
    ) -> CompiledMessage:  # fmt: skip
        return compile_message(
            load_template(template, self._own_templates, headers.language),
            context,
            headers,
            nonce=secrets.token_hex(8),
            reader=reader,
        )


def variants_of(session: Session, campaign: Campaign) -> list[Variant]:
    """Return what is compiled of the campaign as it is now, oldest first.

    The mails themselves are read only if asked for.
    """
    return list(
        session.scalars(
            select(Variant)
            .options(defer(Variant.compiled))
            .where(Variant.campaign_id == campaign.id, Variant.version == campaign.version)
            .order_by(Variant.id)
        )
    )


def _source(campaign: Campaign) -> str:
    corrected = f":{campaign.version}" if campaign.version > 1 else ""
    return f"campaign:{campaign.id}{corrected}"


def _stored(
    session: Session,
    source: str,
    compiled: CompiledMessage,
    now: datetime,
    campaign: Campaign | None = None,
) -> int:
    """Keep a variant and return its id. Of two with the same outcome the first stays."""
    key = variant_key(compiled.locale, compiled.path)
    values = {
        "campaign_id": campaign.id if campaign else None,
        "version": campaign.version if campaign else 1,
        "source": source,
        "key": key,
        "locale": compiled.locale,
        "path": [list(step) for step in compiled.path],
        "compiled": compiled.to_json(),
        "compiled_at": now,
    }
    insert_once(session, Variant, values)
    found = select(Variant.id).where(Variant.source == source, Variant.key == key)
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
