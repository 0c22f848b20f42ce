"""The command tree: every verb explains itself, and the written reference is what it says."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mailer.cli.main import NOUNS, build
from mailer.cli.reference import cli_reference, commands, settings_reference

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
TREE = list(commands())
VERBS = [(path, context) for path, context in TREE if not hasattr(context.command, "commands")]
ENDLESS = {"up", "web", "worker", "beat", "demo"}


@pytest.mark.parametrize(("path", "context"), VERBS, ids=[" ".join(path) for path, _ in VERBS])
def test_every_verb_shows_an_example_that_is_its_own(path, context):
    _, _, examples = context.command.get_help(context).partition("Example:\n")
    assert examples.strip()
    for line in examples.strip().splitlines():
        words = [word for word in shlex.split(line) if "=" not in word or word.startswith("-")]
        assert tuple(words[: len(path)]) == path


@pytest.mark.parametrize(("path", "context"), VERBS, ids=[" ".join(path) for path, _ in VERBS])
def test_every_verb_that_ends_answers_in_json_too(path, context):
    options = {option for parameter in context.command.params for option in parameter.opts}
    assert "--json" in options or path[1] in ENDLESS


def test_every_noun_of_the_table_has_verbs():
    nouns = {path[1] for path, _ in TREE if len(path) == 3}
    assert nouns == set(NOUNS)


def test_a_noun_that_is_not_asked_for_stays_unread_but_is_listed():
    command = build("purpose").registered_groups
    assert {group.name for group in command} == set(NOUNS)


@pytest.mark.parametrize(
    ("name", "written"), [("cli.md", cli_reference), ("settings.md", settings_reference)]
)
def test_the_written_reference_is_what_the_program_says(name, written):
    assert (REFERENCE / name).read_text("utf-8") == written(), "run `make docs`"


def test_help_imports_nothing_heavy_and_is_quick():
    script = (
        "import sys\n"
        "from mailer.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "heavy = {'celery', 'sqlalchemy', 'trafilatura', 'premailer', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ended.returncode == 0
    assert ended.stderr.strip() == "[]"
    assert time.monotonic() - began < 3  # 0.1 s alone; a machine that is busy gets more
