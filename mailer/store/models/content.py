"""Where articles come from, and what is made of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mailer.domain.canary import CanaryOrder
from mailer.domain.rules import Rules
from mailer.store.models.base import Base, BigId, id_column, newsletter_key
from mailer.store.models.images import StoredImage, campaign_image
from mailer.store.models.readers import Newsletter, Purpose


class Feed(Base):
    """A source of articles, with its health."""

    __tablename__ = "feed"
    __table_args__ = (UniqueConstraint("newsletter_id", "location"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    location: Mapped[str]  # a URL, or the absolute path of a file
    title: Mapped[str]
    etag: Mapped[str]
    last_modified: Mapped[str]
    name: Mapped[str] = mapped_column(server_default="")  # what people see, else its title
    section: Mapped[str] = mapped_column(server_default="")
    """Of all its articles, whatever the feed says; empty: as the feed says."""
    last_success_at: Mapped[datetime | None]
    last_error: Mapped[str]
    last_error_at: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")  # one after the other
    failing_since: Mapped[datetime | None]
    next_read_at: Mapped[datetime | None]
    """Not before then by itself: when its time comes, or while it is left alone."""


class Article(Base):
    """One story as we read it; campaigns hold frozen copies."""

    __tablename__ = "article"
    __table_args__ = (UniqueConstraint("newsletter_id", "canonical_url"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    feed_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("feed.id", ondelete="SET NULL"))
    canonical_url: Mapped[str]
    title: Mapped[str]
    summary: Mapped[str]
    image: Mapped[dict[str, Any] | None]  # url, alt, caption, credit, width, height
    author: Mapped[str]
    section: Mapped[str]
    language: Mapped[str]
    paywalled: Mapped[bool] = mapped_column(server_default=false())  # for subscribers only
    published_at: Mapped[datetime | None]
    added_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]
    """When its title, summary or date changed after we had read it; None: never."""
    edited_fields: Mapped[list[Any]] = mapped_column(server_default="[]")
    """What an editor has changed: the next reading of the feed leaves it alone."""
    removed_at: Mapped[datetime | None]
    """Since when the story is gone; its row stays, or the next reading would bring it back."""


class ArticleSource(Base):
    """A feed that carries an article: the first is the article's own, others may follow."""

    __tablename__ = "article_source"

    article_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("article.id", ondelete="CASCADE"), primary_key=True
    )
    feed_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("feed.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Digest(Base):
    """A recurring rule: which articles, when, for which purpose."""

    __tablename__ = "digest"
    __table_args__ = (UniqueConstraint("newsletter_id", "slug"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    purpose_id: Mapped[int] = mapped_column(BigId, ForeignKey("purpose.id"))
    slug: Mapped[str]
    cron: Mapped[str]
    timezone: Mapped[str]
    template: Mapped[str]
    max_articles: Mapped[int]
    min_articles: Mapped[int]
    rules: Mapped[dict[str, Any]] = mapped_column(server_default="{}")  # `domain.rules.Rules`
    approve_by: Mapped[str] = mapped_column(server_default="")
    """Who is asked before it goes; empty: nobody, or who it was has been forgotten."""
    approve_hash: Mapped[str] = mapped_column(server_default="")
    """Of that address; while it is here, nothing goes without an approval."""
    approve_seconds: Mapped[int] = mapped_column(server_default="43200")  # how long they have
    paused: Mapped[bool]
    next_run_at: Mapped[datetime]
    reader_local_time: Mapped[bool] = mapped_column(server_default=false())
    next_local_at: Mapped[str | None]
    """What readers' own clocks show at the next run (ISO 8601), where it follows them."""
    fresh_seconds: Mapped[int] = mapped_column(server_default="43200")
    """How late a missed run may be caught up: a morning's digest is of no use the next day."""
    busy_until: Mapped[datetime | None]  # somebody reads its feeds, or it is left alone
    last_run_at: Mapped[datetime | None]
    last_outcome: Mapped[str]  # one sentence: what the last run did

    newsletter: Mapped[Newsletter] = relationship()
    purpose: Mapped[Purpose] = relationship()

    @property
    def selection(self) -> Rules:
        """The rules by which it selects."""
        return Rules.from_kept(self.rules, self.max_articles, self.min_articles)


class DigestMark(Base):
    """What an editor has said of an article, for one digest."""

    __tablename__ = "digest_mark"

    digest_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("digest.id", ondelete="CASCADE"), primary_key=True
    )
    article_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("article.id", ondelete="CASCADE"), primary_key=True
    )
    mark: Mapped[str]
    marked_at: Mapped[datetime]


class DigestArticle(Base):
    """The sent-once ledger of a digest: an article that it has used is never used again.

    Unless its campaign ended before it had begun, so that no reader got it.
    """

    __tablename__ = "digest_article"

    digest_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("digest.id", ondelete="CASCADE"), primary_key=True
    )
    article_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("article.id", ondelete="CASCADE"), primary_key=True
    )
    campaign_id: Mapped[int] = mapped_column(BigId, ForeignKey("campaign.id", ondelete="CASCADE"))
    told_by: Mapped[int | None] = mapped_column(BigInteger)
    """The article that told its story in its place; None where it stood in the mail itself."""


class Campaign(Base):
    """One frozen content to one frozen audience."""

    __tablename__ = "campaign"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[id_column]
    public_id: Mapped[str] = mapped_column(unique=True)
    newsletter_id: Mapped[newsletter_key]
    purpose_id: Mapped[int] = mapped_column(BigId, ForeignKey("purpose.id"))
    digest_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("digest.id", ondelete="SET NULL")
    )
    subject: Mapped[str]
    preheader: Mapped[str]
    template: Mapped[str]
    content: Mapped[dict[str, Any]]  # the frozen context of the template: articles, body
    version: Mapped[int] = mapped_column(server_default="1")
    """Of subject, preheader, template and content: one more with every correction."""
    lane: Mapped[int]
    state: Mapped[str] = mapped_column(index=True)
    paused_reason: Mapped[str]
    resume_state: Mapped[str]  # where `resume` goes back to
    created_at: Mapped[datetime]
    send_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    spread_seconds: Mapped[int] = mapped_column(server_default="0")  # over which mails come due
    local_at: Mapped[str | None]
    """What readers' own clocks show when their mails are due (ISO 8601, without a zone)."""
    ends_at: Mapped[datetime | None]  # what is not sent by then is of no use; set at the start
    finished_at: Mapped[datetime | None]
    seeded_at: Mapped[datetime | None]  # since when its seed addresses have had their copies
    checked_at: Mapped[datetime | None]
    """Since when its check does not stand in the way: it passed, or a person waived it."""
    period: Mapped[int]  # year * 100 + month of planning: the partition of all its deliveries
    upper_subscriber_id: Mapped[int] = mapped_column(
        BigInteger
    )  # the audience is frozen up to here
    cursor_subscriber_id: Mapped[int] = mapped_column(BigInteger)  # planned up to here
    renews_notice_id: Mapped[int | None] = mapped_column(BigInteger)
    """The wording that it asks readers to agree to; its audience is who has not done so yet."""
    personal: Mapped[bool] = mapped_column(server_default=false())
    """Whether a mail needs more of its reader than address and name: each has its variant chosen
    when it is claimed."""
    answer_by: Mapped[datetime | None]
    """When the consent of those who did not answer ends; None once they have been dealt with."""
    corrects_id: Mapped[int | None] = mapped_column(BigInteger)
    """The campaign that it corrects; its audience is who got of that a version..."""
    corrects_below: Mapped[int | None]  # ... below this one, or may have

    newsletter: Mapped[Newsletter] = relationship()
    purpose: Mapped[Purpose] = relationship()
    images: Mapped[list[StoredImage]] = relationship(secondary=campaign_image)
    canary: Mapped[Canary | None] = relationship(cascade="all, delete-orphan")
    approval: Mapped[Approval | None] = relationship(cascade="all, delete-orphan")

    @property
    def own_time(self) -> datetime | None:
        """What readers' own clocks show when their mails are due; it has no zone."""
        return None if self.local_at is None else datetime.fromisoformat(self.local_at)

    @property
    def held(self) -> bool:
        """Whether only the canary's sample may get it so far."""
        return self.canary is not None and self.canary.released_at is None


class ReplacedContent(Base):
    """What a campaign held before it was corrected; those who got it have it still."""

    __tablename__ = "replaced_content"

    campaign_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]
    preheader: Mapped[str]
    template: Mapped[str]
    content: Mapped[dict[str, Any]]
    replaced_at: Mapped[datetime]


class Canary(Base):
    """A campaign's sample: what was ordered, who is in it, and how far it has come.

    Written only by who holds the lock on the campaign's row.
    """

    __tablename__ = "canary"

    campaign_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    size: Mapped[int | None]  # readers; or
    share: Mapped[int | None]  # of the audience, in millionths
    failed_limit: Mapped[int]  # in millionths of the sample
    wait_seconds: Mapped[int]
    bound: Mapped[int | None] = mapped_column(BigInteger)
    """Whose rank is not beyond it is in the sample; fixed before the first chunk is planned."""
    readers: Mapped[int | None]  # in the sample
    audience: Mapped[int | None]
    tried_at: Mapped[datetime | None]  # since when all of the sample have been tried
    held_at: Mapped[datetime | None]  # since when a person must say whether it goes on
    released_at: Mapped[datetime | None]  # since when everybody may get it

    @property
    def order(self) -> CanaryOrder:
        """What was ordered."""
        wait = timedelta(seconds=self.wait_seconds)
        return CanaryOrder(self.size, self.share, self.failed_limit, wait)


class Approval(Base):
    """An editor's word on a campaign, without which it does not go.

    Written only by who holds the lock on the campaign's row.
    """

    __tablename__ = "approval"

    campaign_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    recipient: Mapped[str]  # empty once there is nothing more to ask
    recipient_hash: Mapped[str]
    until: Mapped[datetime]  # silence until then is a no
    asked_at: Mapped[datetime | None]
    decision: Mapped[str] = mapped_column(server_default="")  # `domain.approvals.Verdict`
    decided_at: Mapped[datetime | None]


class Seed(Base):
    """An address of the house that gets a copy of every campaign; no reader."""

    __tablename__ = "seed"
    __table_args__ = (UniqueConstraint("newsletter_id", "address_hash"),)

    id: Mapped[id_column]
    newsletter_id: Mapped[newsletter_key]
    email: Mapped[str]
    address_hash: Mapped[str]
    added_at: Mapped[datetime]


class Variant(Base):
    """A mail compiled for one group of readers: segments, and slots for a reader's values."""

    __tablename__ = "variant"
    __table_args__ = (UniqueConstraint("source", "key"),)

    id: Mapped[id_column]
    campaign_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("campaign.id", ondelete="CASCADE"), index=True
    )
    version: Mapped[int] = mapped_column(server_default="1")  # of the campaign's content
    source: Mapped[str]
    """'campaign:7', 'campaign:7:2' for its second version, or 'confirmation:' and the hash of what
    it was made from."""
    key: Mapped[str]  # the locale, and the outcome of the template's conditions
    locale: Mapped[str] = mapped_column(server_default="")
    path: Mapped[list[Any]] = mapped_column(server_default="[]")
    """The decisions that lead to it: what was asked of the reader, and what came out."""
    compiled: Mapped[str]
    compiled_at: Mapped[datetime]


class WantedVariant(Base):
    """A reader for whose outcome nothing is compiled: their choices changed after the planning.

    A worker compiles it; the mail waits meanwhile.
    """

    __tablename__ = "wanted_variant"

    campaign_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("campaign.id", ondelete="CASCADE"), primary_key=True
    )
    subscriber_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("subscriber.id", ondelete="CASCADE"), primary_key=True
    )
    problem: Mapped[str] = mapped_column(server_default="")  # why it cannot be compiled
