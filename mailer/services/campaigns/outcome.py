"""What a digest's row says of the campaign that its last run made."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mailer.store.models import Campaign, Digest


def tell_digest(session: Session, campaign: Campaign, words: str) -> None:
    """Say on the digest's row what became of its campaign, where none has come since."""
    digest = session.get(Digest, campaign.digest_id) if campaign.digest_id else None
    said = digest.last_outcome.replace(":", " ").split() if digest is not None else []
    if digest is not None and said[:2] == ["campaign", str(campaign.id)]:
        digest.last_outcome = f"campaign {campaign.id}{words}"
