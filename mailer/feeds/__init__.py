"""Where articles come from: guarded fetching, feeds, and article pages.

Every byte here is from outside. `fetch` refuses to be led into private networks, `parse_feed` and
`extract_article` return plain text and web addresses, never markup.
"""

from mailer.feeds.extract import NoArticle, extract_article
from mailer.feeds.fetch import Fetched, FetchError, Limits, NotModified, fetch
from mailer.feeds.parse import ParsedFeed, UnreadableFeed, parse_feed
from mailer.feeds.probe import probe

__all__ = [
    "FetchError",
    "Fetched",
    "Limits",
    "NoArticle",
    "NotModified",
    "ParsedFeed",
    "UnreadableFeed",
    "extract_article",
    "fetch",
    "parse_feed",
    "probe",
]
