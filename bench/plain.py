"""The plain recipe that most home-made senders are: everything again for every reader.

Jinja2 renders the whole mail, premailer inlines it, EmailMessage encodes it, smtplib opens a
connection for it, and a commit notes it.
"""

from __future__ import annotations

import logging
import smtplib
import sqlite3
import time
from contextlib import closing
from email.message import EmailMessage
from pathlib import Path

from jinja2 import Environment
from premailer import Premailer

from mailer.rendering import CompiledMessage, ReaderValues


def seconds_per_message(
    html: str, folder: Path, port: int, values: ReaderValues, number: int = 60
) -> float:
    """Send `number` mails over SMTP on loopback and return what one took."""
    source = html.replace(values.name, "{{ name }}").replace(values.unsubscribe_url, "{{ link }}")
    with closing(sqlite3.connect(folder / "plain.db")) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE IF NOT EXISTS sent (reader INTEGER)")
        began = time.perf_counter()
        for reader in range(number):
            rendered = (
                Environment(autoescape=True)
                .from_string(source)
                .render(name=f"Reader {reader}", link=f"https://news.example.org/u/{reader}")
            )
            inlined = Premailer(
                rendered,
                keep_style_tags=True,
                disable_validation=True,
                cssutils_logging_level=logging.CRITICAL,
            ).transform()
            message = EmailMessage()
            message["From"], message["To"] = "weekly@news.example.org", f"r{reader}@readers.example"
            message["Subject"] = "The week in nine stories"
            message.set_content("Read it in your browser.")
            message.add_alternative(inlined, subtype="html")
            with smtplib.SMTP("127.0.0.1", port) as relay:
                relay.send_message(message)
            database.execute("INSERT INTO sent VALUES (?)", (reader,))
            database.commit()
        return (time.perf_counter() - began) / number


def html_of(compiled: CompiledMessage, values: ReaderValues) -> str:
    """Return the mail's HTML as a template author would have written it."""
    return compiled.preview_html(values)
