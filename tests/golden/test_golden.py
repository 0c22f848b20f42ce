"""What readers see changes only when somebody has looked at it."""

from __future__ import annotations

import pytest
from golden.mails import FOLDER, LOCALES, NAMES, rendered


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("name", NAMES)
def test_a_standard_mail_is_as_it_was_last_looked_at(name: str, locale: str) -> None:
    for path, content in rendered(name, locale):
        assert content == path.read_text("utf-8"), f"{path.name} differs: look, then `make golden`"


def test_no_mail_is_kept_that_is_no_longer_made() -> None:
    made = {path.name for name in NAMES for locale in LOCALES for path, _ in rendered(name, locale)}
    assert {path.name for path in FOLDER.iterdir()} == made
