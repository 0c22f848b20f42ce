"""The project's own rules that no other tool checks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_no_file_grows_beyond_one_subject() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("mailer", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts
        and (lines := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert long == {}


def test_the_environment_and_the_clock_are_read_in_one_place_each() -> None:
    readers: dict[str, set[str]] = {"environ": set(), "datetime.now": set()}
    for path in (ROOT / "mailer").rglob("*.py"):
        text = path.read_text("utf-8")
        for word, places in readers.items():
            if re.search(rf"\b{re.escape(word)}\b", text):
                places.add(str(path.relative_to(ROOT / "mailer")))
    assert readers["datetime.now"] == {"wiring.py"}
    # Those who start processes hand their own environment on.
    assert {
        place for place in readers["environ"] if not place.startswith(("cli/", "embedded/"))
    } == {"settings.py"}
