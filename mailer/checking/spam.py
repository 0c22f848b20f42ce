"""What SpamAssassin makes of a mail, where it is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from mailer.checking.findings import Finding, Level

ABSENT = "none"
WARNS_FROM, BLOCKS_FROM = 3.0, 5.0

_VERDICT = re.compile(r"^X-Spam-Status:.*?score=(-?\d+(?:\.\d+)?)", re.MULTILINE)
_RULE = re.compile(r"^\s*(-?\d+(?:\.\d+)?) ([A-Z][A-Z0-9_]+)\s+(.*)$", re.MULTILINE)
_LOCAL = {"spamassassin": ("-L", "-t", "-x")}
# Rules that miss the traces of the way that a mail took; ours has not been anywhere yet.
_MEANT_FOR_DELIVERED = frozenset({"NO_RELAYS", "NO_RECEIVED"})


class Score(NamedTuple):
    """The points, and the rules that gave them: points, name, words."""

    points: float
    rules: list[tuple[float, str, str]]


def spam_findings(eml: bytes, command: str, seconds: float) -> Iterator[Finding]:
    """Ask the program (`spamassassin`, `spamc`, a path); that it is not there is a warning."""
    program = shutil.which(command) if command != ABSENT else None
    if program is None:
        why = "is switched off" if command == ABSENT else "is not installed"
        yield _not_judged(f"SpamAssassin {why}, so that nobody has judged the mail as spam.")
        return
    try:
        score = judge(eml, program, seconds)
    except subprocess.TimeoutExpired:
        yield _not_judged(f"SpamAssassin did not answer within {seconds:g} seconds.")
        return
    except OSError as error:
        yield _not_judged(f"SpamAssassin cannot be run ({error.strerror}).")
        return
    if score is None:
        yield _not_judged("SpamAssassin gave no score.")
        return
    yield _judged(score)


def judge(eml: bytes, program: str, seconds: float) -> Score | None:
    """Return what the program says, by its local tests alone; None where it says nothing."""
    name = program.rpartition("/")[2]
    options = _LOCAL.get(name, ("-R",) if name == "spamc" else ())
    ended = subprocess.run(
        [program, *options], input=eml, capture_output=True, timeout=seconds, check=False
    )
    said = ended.stdout.decode("utf-8", "replace")
    rules = [
        (float(points), rule, words.strip())
        for points, rule, words in _RULE.findall(said)
        if rule not in _MEANT_FOR_DELIVERED
    ]
    if found := _VERDICT.search(said):
        return Score(float(found[1]), rules)
    with suppress(ValueError, IndexError):  # spamc -R: "3.1/5.0" and the report
        return Score(float(said.split("/")[0].split()[-1]), rules)
    return None


def _judged(score: Score) -> Finding:
    rules = sorted((rule for rule in score.rules if rule[0] >= 0.1), reverse=True)
    named = "; ".join(f"{points:g} {name}: {words}" for points, name, words in rules)
    level = (
        Level.ERROR
        if score.points >= BLOCKS_FROM
        else Level.WARNING
        if score.points >= WARNS_FROM
        else Level.NOTE
    )
    return Finding(
        level, "spam", "mail",
        f"SpamAssassin gives {score.points:g} points ({BLOCKS_FROM:g} are spam)"
        f"{f': {named}' if named else ''}.",
        "" if level is Level.NOTE else "Mend what the rules name.",
    )  # fmt: skip


def _not_judged(says: str) -> Finding:
    return Finding(
        Level.WARNING, "spam", "mail", says,
        "Install it (Debian: `apt-get install spamassassin`), or set MAILER_SPAMASSASSIN.",
    )  # fmt: skip
