"""Finding what people name: by slug, number or public id; one sentence where it is not there."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.errors import Refusal
from mailer.store.models import Campaign, Digest, Newsletter, Purpose


class NotFound(Refusal):
    """Nothing has this name; the message says what there is."""


_LARGEST_ID = 2**63 - 1


def as_id(name: str) -> int | None:
    """Return the number that a name is, if it can be a row's id."""
    if not (name.isascii() and name.isdigit()) or len(name) > 19 or int(name) > _LARGEST_ID:
        return None
    return int(name)


def find_newsletter(session: Session, name: str) -> Newsletter:
    """Return the newsletter by slug or number; raises NotFound."""
    found = session.scalar(select(Newsletter).where(Newsletter.slug == storable(name)))
    if found is None and (number := as_id(name)) is not None:
        found = session.get(Newsletter, number)
    if found is None:
        slugs = session.scalars(select(Newsletter.slug).order_by(Newsletter.slug))
        hint = "add one with `mailer newsletter add`"
        raise NotFound(f"There is no newsletter “{name}”: {_there_are(slugs, hint)}.")
    return found


def find_purpose(session: Session, newsletter: Newsletter, slug: str) -> Purpose:
    """Return one of the newsletter's purposes by slug; raises NotFound."""
    for purpose in newsletter.purposes:
        if purpose.slug == slug:
            return purpose
    slugs = [purpose.slug for purpose in newsletter.purposes]
    hint = f"add one with `mailer purpose add {newsletter.slug}`"
    raise NotFound(
        f"Newsletter {newsletter.slug} has no purpose “{slug}”: {_there_are(slugs, hint)}."
    )


def find_digest(session: Session, newsletter: Newsletter, name: str) -> Digest:
    """Return one of the newsletter's digests by slug or number; raises NotFound."""
    mine = select(Digest).where(Digest.newsletter_id == newsletter.id)
    found = session.scalar(mine.where(Digest.slug == storable(name)))
    if found is None and (number := as_id(name)) is not None:
        found = session.scalar(mine.where(Digest.id == number))
    if found is None:
        slugs = session.scalars(
            select(Digest.slug).where(Digest.newsletter_id == newsletter.id).order_by(Digest.slug)
        )
        hint = f"add one with `mailer digest add {newsletter.slug}`"
        raise NotFound(
            f"Newsletter {newsletter.slug} has no digest “{name}”: {_there_are(slugs, hint)}."
        )
    return found


def find_campaign(session: Session, name: str) -> Campaign:
    """Return a campaign by number or public id; raises NotFound."""
    number = as_id(name)
    found = session.get(Campaign, number) if number is not None else None
    if found is None:
        found = session.scalar(select(Campaign).where(Campaign.public_id == storable(name)))
    if found is None:
        raise NotFound(f"There is no campaign “{name}”: see `mailer campaign list`.")
    return found


def storable(name: str) -> str:
    """Return the name without what no database stores: PostgreSQL refuses a NUL in a text."""
    return name.replace("\0", "�").encode("utf-8", "replace").decode()


def _there_are(names: Iterable[str], otherwise: str) -> str:
    listed = ", ".join(names)
    return f"there are {listed}" if listed else f"there is none; {otherwise}"
