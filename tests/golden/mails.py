"""The standard mails as they were last looked at. `make golden` writes them anew: look at the diff,
and at the mails (`mailer template preview`), before you commit it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mailer.services.mails.samples import PICTURES, sample_message, sample_reader

FOLDER = Path(__file__).parent / "mails"
NAMES = ("digest", "story", "breaking", "announcement", "confirmation", "renewal")
LOCALES = ("en", "ar")


def rendered(name: str, locale: str) -> Iterator[tuple[Path, str]]:
    """Yield the file and the content of both parts."""
    pictures = {picture: f"https://news.example/{picture}.jpg" for picture in PICTURES}
    message = sample_message(name, locale, own_templates=None, pictures=pictures)
    values = sample_reader()
    parts = {"html": message.preview_html(values), "txt": message.preview_text(values)}
    for kind, content in parts.items():
        yield FOLDER / f"{name}-{locale}.{kind}", content.replace("\r\n", "\n")


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name in NAMES:
        for locale in LOCALES:
            for path, content in rendered(name, locale):
                path.write_text(content, "utf-8")


if __name__ == "__main__":
    main()
