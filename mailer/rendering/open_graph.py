"""What a page says of itself to whoever shares its link: Open Graph (ogp.me) and a card."""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import escape

_HEAD_ENDS = re.compile(r"</head\s*>", re.IGNORECASE)


def with_open_graph(html: str, properties: Mapping[str, str], *, feed: str, canonical: str) -> str:
    """Return the page with a `<meta>` for each property that has a value, and its own address.

    `feed` is the address of the RSS that the page stands in. A page without `</head>`, such as an
    operator's own HTML may be, stays as it is.
    """
    tags = [
        f'<meta property="{escape(name)}" content="{escape(value)}">'
        for name, value in properties.items()
        if value
    ]
    card = "summary_large_image" if properties.get("og:image") else "summary"
    tags += [
        f'<meta name="description" content="{escape(properties.get("og:description", ""))}">',
        f'<meta name="twitter:card" content="{card}">',
        f'<link rel="canonical" href="{escape(canonical)}">',
        f'<link rel="alternate" type="application/rss+xml" href="{escape(feed)}">',
    ]
    found = _HEAD_ENDS.search(html)
    if found is None:
        return html
    return html[: found.start()] + "\n".join(tags) + "\n" + html[found.start() :]
