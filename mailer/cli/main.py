"""The entry point: finds the noun, runs it, and turns what went wrong into one clear line.

Status 0: done. 1: could not be done. 2: wrong usage. 130: stopped by Ctrl-C. 141: whoever read
our answer went away before its end, as `mailer … | head` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import typer

from mailer.cli import running, setup
from mailer.cli.console import answer_nobody, example, reader_left
from mailer.domain.errors import Refusal

NOUNS = {
    "publisher": "Who runs this installation.",
    "newsletter": "What readers subscribe to.",
    "theme": "How a newsletter's mails look: logo, colours, fonts, footer.",
    "template": "Templates of your own, and what templates look like.",
    "purpose": "What a consent is for; each is consented to on its own.",
    "topic": "What readers may choose within a newsletter; a taste, not a consent.",
    "notice": "The exact wording shown when consent is asked.",
    "feed": "Where articles come from.",
    "article": "Stories, from feeds and from pages.",
    "digest": "Recurring rules that make campaigns of new articles.",
    "campaign": "One frozen content to one frozen audience.",
    "seed": "Addresses of the house that get a copy of every campaign.",
    "subscriber": "Readers and their subscriptions.",
    "consent": "What readers said, when, how and under which wording.",
    "privacy": "What we hold of one person, for how long, and forgetting it.",
    "relay": "Mail servers that we hand mails to, in order of preference.",
    "provider": "Receiving providers: who turns us away, whom to leave alone.",
    "suppression": "Addresses that must not be mailed.",
    "db": "The database: upgrade, back up, restore, go on after it, check.",
}
"""Every noun and its help. A noun's module is imported only when it is asked for."""


def build(noun: str | None = None) -> typer.Typer:
    """Return the command tree; only `noun` has its verbs, or all nouns when None."""
    app = typer.Typer(
        name="mailer",
        help="Newsletters for news publishers: from the newsroom's articles to readers' inboxes.",
        epilog=example("mailer demo"),
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    setup.register(app)
    running.register(app)
    for name, words in NOUNS.items():
        wanted = noun is None or name == noun
        verbs = import_module(f"mailer.cli.{name}").app if wanted else typer.Typer()
        if not wanted:
            verbs.callback()(_nothing)
        app.add_typer(verbs, name=name, help=words, no_args_is_help=True)
    return app


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process."""
    os.umask(0o077)  # what we write holds readers' addresses
    given = list(sys.argv[1:] if arguments is None else arguments)
    for word in given:
        if not word.isascii() and word != word.encode("utf-8", "replace").decode():
            _fail(f"“{word.encode('utf-8', 'replace').decode()}” is not UTF-8: write it as UTF-8.")
    noun = next((word for word in given if not word.startswith("-")), "")
    try:
        build(noun)(args=given, prog_name="mailer")
    except Refusal as refusal:
        _fail(str(refusal))
    except KeyboardInterrupt:
        sys.exit(130)
    except SystemExit as end:
        # Typer ends with 1 when a pipe is closed, which says that something went wrong.
        if end.code == 1 and reader_left():
            answer_nobody()
            sys.exit(141)
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}. Check the path and its permissions.")
    except Exception as error:
        sentence = _database_sentence(error)
        if sentence is None:
            raise
        _fail(sentence)
    sys.exit(0)


def _nothing() -> None:
    """Stand in for a noun whose verbs are not needed now."""


def _database_sentence(error: Exception) -> str | None:
    """Return one sentence for a database that failed underneath us; None for anything else."""
    from sqlalchemy.exc import DatabaseError, OperationalError

    from mailer.store.engine import is_damage

    if not isinstance(error, DatabaseError):
        return None
    reason = str(error.orig).strip().splitlines()[0]
    if is_damage(reason):
        return f"The database is damaged ({reason}): restore a backup with `mailer db restore`."
    if not isinstance(error, OperationalError):
        return None  # a constraint, say: a bug of ours
    return f"The database failed ({reason}): run `mailer doctor` to see what is wrong."


def _fail(sentence: str) -> NoReturn:
    typer.echo(f"mailer: {' '.join(sentence.split())}", err=True)
    sys.exit(1)
