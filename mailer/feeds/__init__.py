"""Where articles come from: guarded fetching, feeds, article pages, and images.

Every byte here is from outside. `fetch` refuses to be led into private networks, `parse_feed` and
`extract_article` return plain text and web addresses, never markup; `ready_image` returns pixels.
"""

from mailer.feeds.extract import NoArticle, extract_article
from mailer.feeds.fetch import Fetched, FetchError, Limits, NotModified, fetch, fetch_image
from mailer.feeds.images import NoImage, ReadyImage, ready_image
from mailer.feeds.parse import ParsedFeed, UnreadableFeed, parse_feed
from mailer.feeds.probe import probe

__all__ = [
    "FetchError",
    "Fetched",
    "Limits",
    "NoArticle",
    "NoImage",
    "NotModified",
    "ParsedFeed",
    "ReadyImage",
    "UnreadableFeed",
    "extract_article",
    "fetch",
    "fetch_image",
    "parse_feed",
    "probe",
    "ready_image",
]
