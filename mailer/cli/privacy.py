"""`mailer privacy`: what readers may ask for, and what is kept of them for how long."""

from __future__ import annotations

import typer

from mailer.cli import privacy_rights

app = typer.Typer()
app.add_typer(privacy_rights.app)
