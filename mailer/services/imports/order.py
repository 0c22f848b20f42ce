"""What an operator asks for with a list, looked into: the file, its columns, and the terms."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from mailer.domain.consent import Basis
from mailer.domain.errors import Refusal
from mailer.domain.spans import Span
from mailer.lists.columns import Columns, find_columns
from mailer.lists.encoding import ListFile, look_through
from mailer.lists.table import Table, open_table
from mailer.services.imports.rows import looks
from mailer.services.newsletters.lookup import find_newsletter, find_purpose
from mailer.services.newsletters.newsletters import one_line
from mailer.store.consents import ShownNotice, notice_ref
from mailer.store.engine import Sessions, reading
from mailer.store.importing.prepare import Terms
from mailer.store.models import Newsletter, Notice


class CannotImport(Refusal):
    """What is asked for cannot be done with this list."""


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """What an operator asks for."""

    newsletter: str
    path: Path
    purposes: tuple[str, ...]
    source: str
    columns: Mapping[str, str] = field(default_factory=dict)
    confirm: bool = False
    basis: Basis = Basis.CONSENT
    valid_for: Span | None = None
    stated_at: datetime | None = None
    notice: str | None = None
    rejects: Path | None = None
    encoding: str | None = None


class Job(NamedTuple):
    """An order that was looked into: the file, its columns, the terms, and a fingerprint of all."""

    order: ImportOrder
    table: Table
    columns: Columns
    terms: Terms
    fingerprint: str


def look_into(order: ImportOrder, sessions: Sessions) -> Job:
    """Look into the order and its file; raises Refusal where it cannot be done."""
    if not order.purposes:
        raise CannotImport("Say with --purpose what the readers consented to.")
    if order.confirm and (order.notice or order.basis is not Basis.CONSENT):
        raise CannotImport(
            "--confirm asks for a consent under the current wording: leave out --basis and "
            "--notice-version."
        )
    if order.valid_for and order.basis is not Basis.IMPLIED:
        raise CannotImport("--valid-for is for --basis implied: a consent lasts until withdrawn.")
    one_line(order.source, "source", 1_000)
    if not order.source.strip():
        raise CannotImport("Say with --source where and when the readers consented.")
    with reading(sessions) as session:
        newsletter = find_newsletter(session, order.newsletter)
        terms = _terms(session, order, newsletter)
    file = look_through(order.path, order.encoding)
    table = open_table(file)
    columns = find_columns(table, order.columns, looks())
    return Job(order, table, columns, terms, _fingerprint(order, file, columns, terms))


def _terms(session: Session, order: ImportOrder, newsletter: Newsletter) -> Terms:
    wanted = dict.fromkeys(order.purposes)
    purposes = [find_purpose(session, newsletter, slug) for slug in wanted]
    notice = _notice(session, newsletter, order.notice) if order.notice else None
    offered = {each["slug"] for each in notice.purposes} if notice else set(wanted)
    for slug in wanted:
        if slug not in offered:
            raise CannotImport(f"The notice {order.notice} does not offer “{slug}”.")
    implied = order.basis is Basis.IMPLIED
    return Terms(
        dialect=session.get_bind().dialect.name,
        newsletter_id=newsletter.id,
        newsletter=newsletter.slug,
        purposes=tuple((purpose.id, purpose.slug) for purpose in purposes),
        notice_id=notice.id if notice else None,
        notice=notice_ref(ShownNotice(notice)) if notice else None,
        basis=order.basis,
        valid_for=(order.valid_for or CASL_BUSINESS) if implied else None,
        source=order.source.strip(),
        file_name=order.path.name,
        asks=order.confirm,
    )


CASL_BUSINESS = Span(months=24, days=0)
"""Canada's law implies a consent for two years after a purchase, and for six months after an
inquiry (CASL, section 10)."""


def _notice(session: Session, newsletter: Newsletter, name: str) -> Notice:
    """Return a notice by its version in the newsletter's locale, or by its hash."""
    mine = select(Notice).where(Notice.newsletter_id == newsletter.id)
    if name.isascii() and name.isdigit() and len(name) < 9:
        found = session.scalar(
            mine.where(Notice.version == int(name), Notice.locale == newsletter.locale)
        )
    else:
        found = session.scalar(mine.where(Notice.sha256 == name.replace("\0", "")))
    if found is None:
        raise CannotImport(
            f"Newsletter {newsletter.slug} has no notice “{name}”: see "
            f"`mailer notice list {newsletter.slug}`, and give a version or a sha256."
        )
    return found


def _fingerprint(order: ImportOrder, file: ListFile, columns: Columns, terms: Terms) -> str:
    said = [
        file.sha256, file.encoding, terms.newsletter_id, terms.purposes, terms.source,
        terms.notice_id, terms.basis, terms.valid_for, terms.asks, columns.named,
        columns.recognised, columns.otherwise, str(order.stated_at),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
