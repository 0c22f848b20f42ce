"""Trim the data of caniemail.com to what we match: `python -m mailer.checking.refresh FILE`.

FILE is https://www.caniemail.com/api/data.json, or the same file out of the npm package
`caniemail`. Writes `data/caniemail.json`; the licence stands beside it. Only features whose kind
we can find in a mail are kept, and of every client the newest version that was tested.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "caniemail.json"

_PROPERTY = re.compile(r"-?[a-z]+(?:-[a-z]+)*")
_PAIR = re.compile(r"([a-z-]+):\s*([a-z-]+)")
_INPUT = re.compile(r'<(\w+) type="(\w+)"> element')
_SEMANTIC = (
    "article", "aside", "details", "figcaption", "figure", "footer", "header", "main", "mark",
    "nav", "section", "summary", "time",
)  # fmt: skip
_ODD: dict[str, list[str]] = {
    "html-semantics": [f"element {name}" for name in _SEMANTIC],
    "html-lists": ["element ul", "element ol", "element dl"],
    "html-image-maps": ["element map"],
    "html-svg": ["element svg"],
    "html-srcset": ["attribute srcset", "attribute sizes"],
    "html-base": ["element base"],
    "html-h1-h6": [f"element h{number}" for number in range(1, 7)],
    "css-variables": ["function var"],
    "css-font": ["property font"],
    "css-modern-color": [f"function {name}" for name in ("lch", "oklch", "lab", "oklab")],
    "css-color-scheme": ["property color-scheme"],
    "css-nesting": ["nesting"],
    "css-grid-template": ["property grid-template-columns", "property grid-template-rows"],
    "css-column-layout-properties": ["property columns", "property column-width"],
    "css-at-media-device-pixel-ratio": ["at -webkit-device-pixel-ratio"],
    "css-at-media-hover": ["at hover", "at any-hover"],
    "image-base64": ["image data:"],
    "image-jpg": ["image jpg", "image jpeg"],
    "image-heif": ["image heif", "image heic"],
    "image-mp4": ["image mp4"],
}
_NOT_TOLD_BY_ITS_NAME = {"image-apng", "image-hdr"}


def trimmed(data: dict[str, Any]) -> dict[str, Any]:
    """Return clients, and per feature what it is found by and a letter per client: y, a, n, u."""
    clients = sorted(
        {
            f"{family}.{platform}"
            for feature in data["data"]
            for family, platforms in feature["stats"].items()
            for platform in platforms
        }
    )
    names = data["nicenames"]
    features = {
        feature["slug"]: {
            "title": feature["title"].strip(),
            "found_by": found_by,
            "support": "".join(_newest(feature["stats"], client) for client in clients),
        }
        for feature in data["data"]
        if (found_by := _found_by(feature))
    }
    return {
        "source": "https://www.caniemail.com",
        "tested_until": data["last_update_date"][:10],
        "clients": {client: _named(client, names) for client in clients},
        "features": features,
    }


def _newest(stats: dict[str, Any], client: str) -> str:
    family, platform = client.split(".")
    versions = list(stats.get(family, {}).get(platform, {}).values())
    return versions[-1][0] if versions and versions[-1][0] in "yanu" else "u"


def _named(client: str, names: dict[str, Any]) -> str:
    family, platform = client.split(".")
    if platform == "outlook-com":
        return "Outlook.com"
    shown = {"desktop-webmail": "web", "mobile-webmail": "mobile web"}
    return f"{names['family'][family]} ({shown.get(platform, names['platform'][platform])})"


def _found_by(feature: dict[str, Any]) -> list[str]:
    """Return what gives a feature away, such as `property max-width`; empty: nothing does."""
    slug, title, category = feature["slug"], feature["title"].strip(), feature["category"]
    if slug in _ODD:
        return _ODD[slug]
    if category == "image" and slug not in _NOT_TOLD_BY_ITS_NAME:
        return [f"image {slug.removeprefix('image-')}"]
    if category == "html":
        if found := _INPUT.fullmatch(title):
            return [f"element {found[1]} type={found[2]}"]
        if found := re.fullmatch(r"<(\w+)>(?: element)?", title):
            return [f"element {found[1]}"]
        if found := re.fullmatch(r"([\w-]+) attribute", title):
            return [f"attribute {found[1]}"]
        return []
    if category != "css":
        return []
    if found := re.fullmatch(r"@media \(([a-z-]+)\)", title):
        return [f"at {found[1]}"]
    if title.startswith("@"):
        return [f"at {title}"]
    if title.startswith(":"):
        return [f"pseudo {title.rstrip('()')}"]
    if found := _PAIR.fullmatch(title):
        return [f"value {found[1]}:{found[2]}"]
    if "()" in title:
        return [f"function {name}" for name in re.findall(r"([a-z-]+)\(\)", title)]
    if found := re.fullmatch(r"([a-z]+) unit", title):
        return [f"unit {found[1]}"]
    plain = re.sub(r" (property|shorthand)$", "", title)
    parts = [part.strip() for part in re.split(r"[,&]", plain)]
    if all(_PROPERTY.fullmatch(part) for part in parts):
        return [f"property {part}" for part in parts]
    return []


def main() -> None:
    """Read the file that is named and write ours."""
    data = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    text = json.dumps(trimmed(data), ensure_ascii=False, indent=0, sort_keys=True)
    DATA.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
