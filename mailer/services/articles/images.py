"""The images of articles, fetched once when a campaign is made and kept here for all its readers.

The network stands before the transaction that makes the campaign, never in it. What cannot be had
is left out of the mail and named: no mail points at another host for its images.
"""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol

import structlog

from mailer.feeds import FetchError, NoImage, ReadyImage, ready_image
from mailer.store.engine import Sessions
from mailer.store.models import Article, StoredImage
from mailer.store.once import insert_into

_log = structlog.get_logger()

IN_PEACE = timedelta(seconds=30)
IN_A_HURRY = timedelta(seconds=4)
"""For all images of a campaign: breaking news goes without its image rather than late."""

_LONGEST = 15.0  # seconds for one, so that a slow site does not cost the others their time
_AT_ONCE = 8
_DECODERS = threading.BoundedSemaphore(2)
"""A large image takes 200 MB while it is unpacked, and no time to speak of."""


class FetchImage(Protocol):
    """Fetches an image's bytes, guarded by this installation's settings."""

    def __call__(self, url: str, *, seconds: float) -> bytes:
        """Return the body; raises FetchError."""


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image as a mail shows it, in pixels.

    `place` is what the frozen article gets: `{"file": …}` for one that is kept, served as
    `/img/FILE`; `{"url": "data:…"}` for a look.
    """

    place: Mapping[str, str]
    width: int
    height: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Why an image cannot be shown; one sentence."""

    reason: str


Images = Mapping[str, ShownImage | LeftOut]
"""What became of each image, by the publisher's address of it."""

NONE: Images = {}


def addresses_of(articles: Iterable[Article]) -> list[str]:
    """Return where the publishers have the articles' images, each once."""
    return list(dict.fromkeys(str(each.image["url"]) for each in articles if each.image))


def image_of(article: Article, images: Images) -> ShownImage | LeftOut | None:
    """Return what became of the article's image; None where it has none."""
    if not article.image:
        return None
    address = str(article.image["url"])
    return images.get(address) or LeftOut(f"{address} was not fetched.")


def left_out_of(articles: Iterable[Article], images: Images) -> list[dict[str, Any]]:
    """Return which articles go without their image, and why."""
    found = ((article, image_of(article, images)) for article in articles)
    return [
        {"article_id": article.id, "title": article.title, "reason": image.reason}
        for article, image in found
        if isinstance(image, LeftOut)
    ]


class ImageKeeper:
    """Fetches images, makes them fit for mails, and keeps them."""

    def __init__(self, sessions: Sessions, fetch: FetchImage, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._fetch = fetch
        self._now = now

    def keep(self, articles: Iterable[Article], *, within: timedelta = IN_PEACE) -> Images:
        """Fetch and keep the articles' images; what is not there `within` is left out.

        Keeping the same image twice adds nothing. Each is a transaction of its own: not to be
        called in one.
        """
        images: dict[str, ShownImage | LeftOut] = {}
        for address, found in self._found(articles, within).items():
            if isinstance(found, LeftOut):
                _log.warning("image left out", image=address, reason=found.reason)
                images[address] = found
            else:
                self._store(found, address)
                images[address] = _shown(found, {"file": found.file})
        return images

    def look(self, articles: Iterable[Article], *, within: timedelta = IN_PEACE) -> Images:
        """Fetch the articles' images for a look at the mail; nothing is kept."""
        return {
            address: found
            if isinstance(found, LeftOut)
            else _shown(found, {"url": _data_url(found)})
            for address, found in self._found(articles, within).items()
        }

    def _found(
        self, articles: Iterable[Article], within: timedelta
    ) -> dict[str, ReadyImage | LeftOut]:
        addresses = addresses_of(articles)
        deadline = time.monotonic() + within.total_seconds()
        if not addresses:
            return {}
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="images") as threads:
            found = threads.map(partial(self._fetch_one, deadline=deadline), addresses)
            return dict(zip(addresses, found, strict=True))

    def _fetch_one(self, address: str, *, deadline: float) -> ReadyImage | LeftOut:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            return LeftOut(f"{address} was not fetched in time.")
        try:
            body = self._fetch(address, seconds=min(remaining, _LONGEST))
            with _DECODERS:
                return ready_image(body)
        except FetchError as error:
            return LeftOut(str(error))
        except NoImage as error:
            return LeftOut(f"{address} cannot be shown: {error}.")

    def _store(self, image: ReadyImage, address: str) -> None:
        now = self._now()
        values = {
            "sha256": image.sha256, "body": image.body, "media_type": image.media_type,
            "width": image.width, "height": image.height, "source": address, "fetched_at": now,
        }  # fmt: skip
        with self._sessions.begin() as session:
            session.execute(
                insert_into(session, StoredImage)
                .values(values)
                .on_conflict_do_update(index_elements=["sha256"], set_={"fetched_at": now})
            )


def _shown(image: ReadyImage, place: Mapping[str, str]) -> ShownImage:
    return ShownImage(place, image.width, image.height, image.sha256)


def _data_url(image: ReadyImage) -> str:
    return f"data:{image.media_type};base64,{b64encode(image.body).decode()}"
