"""Backups as an operator takes them who knows nothing of ours: a file is copied, a database too."""

from __future__ import annotations

import shutil
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from mailer.store.backup import back_up
from mailer.wiring import Parts


class Backup:
    """The whole database as it was when this was made."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._url = parts.engine.url
        parts.engine.dispose()
        if self._url.get_backend_name() == "sqlite":
            self._file = parts.settings.home / f"backup-{len(list(parts.settings.home.iterdir()))}"
            back_up(Path(str(self._url.database)), self._file)
        else:
            self._name = f"{self._url.database}_old"
            self._copy(str(self._url.database), self._name)

    def put_back(self) -> None:
        """Let everything that happened since be lost."""
        self._parts.engine.dispose()
        if self._url.get_backend_name() == "sqlite":
            database = Path(str(self._url.database))
            for end in ("-wal", "-shm"):
                database.with_name(database.name + end).unlink(missing_ok=True)
            shutil.copy(self._file, database)
        else:
            self._copy(self._name, str(self._url.database))

    def _copy(self, source: str, target: str) -> None:
        with psycopg.connect(_server(self._url), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
            connection.execute(f'CREATE DATABASE "{target}" TEMPLATE "{source}"')


def _server(url: URL) -> str:
    server = url.set(drivername="postgresql", database="postgres")
    return server.render_as_string(hide_password=False)
