"""All tables, one file per subject."""

from mailer.store.models.accounts import Erasure, ImportRun, JournalPending, OperatorAction, Witness
from mailer.store.models.base import Base
from mailer.store.models.consents import (
    ConsentEvent,
    ConsentEvidence,
    LogCheckpoint,
    LogEntry,
    LogTile,
    PendingLeaf,
)
from mailer.store.models.content import (
    Approval,
    Article,
    ArticleSource,
    Campaign,
    Canary,
    Digest,
    DigestArticle,
    DigestMark,
    Feed,
    ReplacedContent,
    Seed,
    Variant,
    WantedVariant,
)
from mailer.store.models.images import StoredImage, campaign_image
from mailer.store.models.installation import Installation, Publisher, Worker
from mailer.store.models.readers import (
    Newsletter,
    Notice,
    Purpose,
    Subscriber,
    Subscription,
    Suppression,
)
from mailer.store.models.relays import ProviderHold, Relay, RelayDay, RelayState
from mailer.store.models.sending import Feedback, attempt, delivery
from mailer.store.models.topics import ReaderTopic, Topic

__all__ = [
    "Approval",
    "Article",
    "ArticleSource",
    "Base",
    "Campaign",
    "Canary",
    "ConsentEvent",
    "ConsentEvidence",
    "Digest",
    "DigestArticle",
    "DigestMark",
    "Erasure",
    "Feed",
    "Feedback",
    "ImportRun",
    "Installation",
    "JournalPending",
    "LogCheckpoint",
    "LogEntry",
    "LogTile",
    "Newsletter",
    "Notice",
    "OperatorAction",
    "PendingLeaf",
    "ProviderHold",
    "Publisher",
    "Purpose",
    "ReaderTopic",
    "Relay",
    "RelayDay",
    "RelayState",
    "ReplacedContent",
    "Seed",
    "StoredImage",
    "Subscriber",
    "Subscription",
    "Suppression",
    "Topic",
    "Variant",
    "WantedVariant",
    "Witness",
    "Worker",
    "attempt",
    "campaign_image",
    "delivery",
]
