"""All tables, one file per subject: installation, readers, content, sending, relays."""

from mailer.store.models.base import Base
from mailer.store.models.content import (
    Article,
    Campaign,
    Canary,
    Digest,
    DigestArticle,
    Feed,
    Variant,
)
from mailer.store.models.installation import Installation, Publisher, Worker
from mailer.store.models.readers import (
    ConsentEvent,
    ConsentEvidence,
    Newsletter,
    Notice,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
)
from mailer.store.models.relays import ProviderHold, Relay, RelayDay, RelayState
from mailer.store.models.sending import Feedback, attempt, delivery

__all__ = [
    "Article",
    "Base",
    "Campaign",
    "Canary",
    "ConsentEvent",
    "ConsentEvidence",
    "Digest",
    "DigestArticle",
    "Feed",
    "Feedback",
    "Installation",
    "Newsletter",
    "Notice",
    "ProviderHold",
    "Publisher",
    "Purpose",
    "Relay",
    "RelayDay",
    "RelayState",
    "Subscriber",
    "Subscription",
    "Suppression",
    "Variant",
    "Worker",
    "attempt",
    "delivery",
]
