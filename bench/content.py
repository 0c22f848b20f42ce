"""An installation with a 27 KB digest and as many readers as wanted, all of it invented."""

from __future__ import annotations

import io
from pathlib import Path

import PIL.Image
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select, text

from mailer.domain.articles import ArticleDraft, Image
from mailer.services.articles.articles import add_article
from mailer.services.articles.images import ImageKeeper
from mailer.services.campaigns.course import start_campaign
from mailer.services.campaigns.drafts import create_campaign
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.newsletters.newsletters import add_newsletter, add_purpose
from mailer.settings import Settings, load
from mailer.store.migrate import upgrade
from mailer.store.models import Article, Newsletter
from mailer.wiring import Parts, initialise, open_parts

STORIES = 6
"""So many make a mail of about 27 KB on the wire."""

_SUMMARY = (
    "The market by the river opens before dawn, and so do the arguments about who may stand "
    "where. Traders, drivers and the council have met for months without a plan; now there is "
    "one, and hardly anybody likes it. We asked those who carry the crates what would help."
)
_SERIES = {
    "sqlite": "(WITH RECURSIVE g(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM g "
    "WHERE n < {last}) SELECT n FROM g)",
    "postgresql": "generate_series({first}, {last}) n",
}
_BATCH = 50_000


def settings(home: Path, database_url: str, smtp_port: int, connections: int) -> Settings:
    """Return the settings of a bench's installation; its keys are made by `initialise`."""
    environment = {
        "MAILER_HOME": str(home),
        "MAILER_DATABASE_URL": database_url,
        "MAILER_PUBLIC_URL": "https://news.example.org",
        "MAILER_SMTP_URL": f"smtp://127.0.0.1:{smtp_port}?tls=none&connections={connections}",
    }
    home.mkdir(parents=True, exist_ok=True)
    initialise(load(environment, home))
    return load(environment, home)


def install(settings: Settings, readers: int, stories: int = STORIES) -> Parts:
    """Make the tables, the newsletter, its articles and its readers; return the open parts."""
    upgrade(settings.database_url)
    parts = open_parts(settings)
    with parts.sessions.begin() as session:
        made = add_newsletter(
            session,
            slug="weekly",
            name="The Weekly",
            sender="The Weekly <weekly@news.example.org>",
            timezone="Africa/Lagos",
            postal_address="1 Road, Kassa",
            now=parts.now(),
        )
        add_purpose(session, made, "updates", "Updates from the newsroom")
        for number in range(stories):
            add_article(session, made, _story(number), now=parts.now())
    _add_readers(parts, readers)
    return parts


def start(parts: Parts) -> int:
    """Plan a campaign to all readers; return its id."""
    with parts.sessions() as session:
        articles = list(session.scalars(select(Article).order_by(Article.id)))
    images = ImageKeeper(parts.sessions, _picture, parts.now).keep(articles)
    with parts.sessions.begin() as session:
        campaign = create_campaign(
            session,
            session.scalars(select(Newsletter)).one(),
            purpose="updates",
            subject="The week in nine stories",
            article_ids=[article.id for article in articles],
            images=images,
            template="digest",
            now=parts.now(),
        )
        start_campaign(session, campaign, now=parts.now())
        campaign_id = campaign.id
    prepare_campaign(
        parts.sessions, campaign_id, renderer=parts.renderer, now=parts.now, pause=lambda: None
    )
    return campaign_id


def series(dialect: str, first: int, last: int) -> str:
    """Return SQL for rows with the numbers `n` from first to last."""
    return _SERIES[dialect].format(first=first, last=last)


def dkim_settings(folder: Path) -> dict[str, str]:
    """Make an RSA key of 2048 bits; return the settings that sign with it."""
    file = folder / "dkim.pem"
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    file.chmod(0o600)
    return {
        "MAILER_DKIM_DOMAIN": "news.example.org",
        "MAILER_DKIM_SELECTOR": "bench",
        "MAILER_DKIM_KEY_FILE": str(file),
    }


def _story(number: int) -> ArticleDraft:
    return ArticleDraft(
        canonical_url=f"https://news.example.org/2026/11/24/the-market-by-the-river-{number}",
        title=f"The market by the river, part {number + 1}: who carries the crates",
        summary=_SUMMARY,
        image=Image(
            f"https://news.example.org/media/market-{number}-1200x675.jpg",
            "Crates on a wet quay", "Before dawn", "N. Example",
        ),
        author="Naledi Example",
        section="Economy",
    )  # fmt: skip


def _picture(url: str, *, seconds: float) -> bytes:
    """Return what the stories' images look like; no site is asked."""
    out = io.BytesIO()
    PIL.Image.new("RGB", (1200, 675), "grey").save(out, "JPEG")
    return out.getvalue()


def _add_readers(parts: Parts, readers: int) -> None:
    dialect = parts.engine.dialect.name
    moment = {"sqlite": "'2026-11-01 09:00:00.000'", "postgresql": "now()"}[dialect]
    for first in range(1, readers + 1, _BATCH):
        last = min(first + _BATCH - 1, readers)
        numbers = series(dialect, first, last)
        with parts.sessions.begin() as session:
            session.execute(
                text(
                    "INSERT INTO subscriber (id, email, address_hash, provider, name, locale, "
                    "timezone, attributes, created_at) SELECT n, 'reader' || n || "
                    "'@readers.example', 'hash' || n, 'readers.example', 'Reader ' || n, '', '', "
                    f"'{{}}', {moment} FROM {numbers}"
                )
            )
            session.execute(
                text(
                    "INSERT INTO subscription (subscriber_id, purpose_id, newsletter_id, state, "
                    f"since, request) SELECT n, 1, 1, 'active', {moment}, 0 FROM {numbers}"
                )
            )
    if dialect == "postgresql":
        with parts.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
