"""Notices: the wording under which readers sign up, kept word for word."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.domain.notices import NoticePurpose, NoticeWording, best_locale
from mailer.services.newsletters.newsletters import locale_code, show_publisher
from mailer.store.audience import agreed_notice, current_notices, stands
from mailer.store.models import Newsletter, Notice, Purpose, Subscription

LONGEST = 50_000
"""Characters of a wording: it stands on the sign-up page, and in every proof, for ever."""


class BadNotice(Refusal):
    """The notice cannot be published."""


def publish_notice(
    session: Session, newsletter: Newsletter, *, locale: str, text: str, now: datetime
) -> Notice:
    """Publish the wording from now on; old consents keep pointing to the old one.

    The same wording again is the same notice, not a new version. Raises BadNotice, BadValue.
    """
    locale = locale_code(locale)
    text = text.replace("\r\n", "\n").strip()
    if not text:
        raise BadNotice("The notice is empty: write what readers agree to.")
    if len(text) > LONGEST:
        raise BadNotice(
            f"The notice has {len(text):,} characters, and readers are shown all of them: "
            f"{LONGEST:,} are the most."
        )
    if "\0" in text:
        raise BadNotice("The notice holds a NUL character: save it as plain text.")
    if not newsletter.purposes:
        raise BadNotice(
            f"Newsletter {newsletter.slug} has no purposes, so that nobody could agree to "
            f"anything: add them with `mailer purpose add {newsletter.slug}`."
        )
    lock_wordings(session, newsletter)
    latest = current_notices(session, newsletter.id).get(locale)
    version = latest.version + 1 if latest else 1
    if latest is not None:
        same = _wording(session, newsletter, locale, text, latest.version)
        if same.sha256 == latest.sha256:
            return latest
    wording = _wording(session, newsletter, locale, text, version)
    notice = Notice(
        newsletter_id=newsletter.id,
        locale=locale,
        version=version,
        sha256=wording.sha256,
        text=text,
        purposes=[
            {"slug": purpose.slug, "label": purpose.label, "kind": purpose.kind}
            for purpose in wording.purposes
        ],
        controller=dict(wording.controller),
        links=dict(wording.links),
        published_at=now,
    )
    session.add(notice)
    session.flush()
    return notice


def lock_wordings(session: Session, newsletter: Newsletter) -> None:
    """Let nobody else publish for this newsletter, or ask again, until the transaction ends."""
    session.execute(select(Newsletter.id).where(Newsletter.id == newsletter.id).with_for_update())


def current_notice(session: Session, newsletter: Newsletter, locale: str) -> Notice | None:
    """Return the newest notice in the locale, else in the newsletter's, else in any."""
    current = current_notices(session, newsletter.id)
    return current.get(best_locale([locale], list(current), newsletter.locale))


def notice_by_hash(session: Session, newsletter: Newsletter, sha256: str) -> Notice | None:
    """Return the newsletter's notice with this hash."""
    return session.scalar(
        select(Notice).where(Notice.newsletter_id == newsletter.id, Notice.sha256 == sha256)
    )


def label_shown(newsletter: Newsletter, purpose: Purpose, notice: Notice | None) -> str:
    """Return the purpose's label as the notice words it, else as it is worded now."""
    for offered in notice.purposes if notice else ():
        if offered["slug"] == purpose.slug:
            return str(offered["label"])
    return purpose.label(notice.locale if notice else newsletter.locale, newsletter.locale)


def list_notices(session: Session, newsletter: Newsletter) -> list[Notice]:
    """Return all notices, oldest first."""
    return list(
        session.scalars(
            select(Notice)
            .where(Notice.newsletter_id == newsletter.id)
            .order_by(Notice.locale, Notice.version)
        )
    )


def superseded_at(session: Session, notice: Notice) -> datetime | None:
    """Return since when another version stands in its place; None while it is in force."""
    return session.scalar(
        select(func.min(Notice.published_at)).where(
            Notice.newsletter_id == notice.newsletter_id,
            Notice.locale == notice.locale,
            Notice.version > notice.version,
        )
    )


def count_consents(session: Session, notice: Notice) -> int:
    """Return how many standing consents were given under this wording, or renewed under it."""
    agreed = agreed_notice(
        Subscription.subscriber_id.expression, Subscription.purpose_id.expression
    )
    statement = select(func.count()).where(
        Subscription.newsletter_id == notice.newsletter_id, stands(), agreed == notice.id
    )
    return session.scalar(statement) or 0


def wording_of(newsletter: Newsletter, notice: Notice) -> NoticeWording:
    """Return the stored notice as it was hashed, so that anybody can hash it again."""
    return NoticeWording(
        newsletter=newsletter.slug,
        version=notice.version,
        locale=notice.locale,
        text=notice.text,
        purposes=tuple(NoticePurpose(**purpose) for purpose in notice.purposes),
        controller=notice.controller,
        links=notice.links,
    )


def _wording(
    session: Session, newsletter: Newsletter, locale: str, text: str, version: int
) -> NoticeWording:
    publisher = show_publisher(session)
    return NoticeWording(
        newsletter=newsletter.slug,
        version=version,
        locale=locale,
        text=text,
        purposes=tuple(
            NoticePurpose(purpose.slug, purpose.label(locale, newsletter.locale), purpose.kind)
            for purpose in newsletter.purposes
        ),
        controller={
            "name": publisher.name or newsletter.name,
            "address": publisher.address or newsletter.postal_address,
            "contact": publisher.contact or newsletter.reply_to or newsletter.from_address,
            "jurisdiction": publisher.jurisdiction,
        },
        links={"privacy": newsletter.privacy_url, "terms": newsletter.terms_url},
    )
