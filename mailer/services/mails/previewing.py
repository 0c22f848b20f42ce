"""What a reader will see, made by the very renderer that sends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from mailer.services.mails.renderer import Renderer
from mailer.store.models import Campaign, Subscriber
from mailer.store.profiles import profile_of

_SAMPLE_ADDRESS = "reader@example.com"


@dataclass(frozen=True, slots=True)
class Preview:
    """One mail as it would go out now; its links lead nowhere, so that nobody leaves by them."""

    subject: str
    html: str
    text: str
    eml: bytes


def preview(
    session: Session,
    campaign: Campaign,
    renderer: Renderer,
    *,
    now: datetime,
    reader: Subscriber | None = None,
) -> Preview:
    """Fill the campaign's mail with the reader's values, or with a sample reader's.

    Once the campaign has started that is the very mail that goes out; before, as it is now.
    Raises the renderer's Refusal for a template that cannot be compiled; writes nothing.
    """
    profile = profile_of(session, reader, campaign.newsletter) if reader else None
    values = renderer.sample_values(
        email=reader.email if reader else _SAMPLE_ADDRESS,
        newsletter=campaign.newsletter,
        reader=profile,
        now=now,
    )
    compiled = renderer.sent_message(session, campaign, profile)
    return Preview(
        subject=compiled.subject(values),
        html=compiled.preview_html(values),
        text=compiled.preview_text(values),
        eml=compiled.personalise(values),
    )
