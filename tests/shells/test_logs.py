"""Log lines: beside the answer, never in it, and never in anybody's way."""

from __future__ import annotations

import os
import subprocess
import sys

from processes import WITHIN, clean_environment

SPEAKS = """
import structlog
from mailer.logs import log_to_stderr
log_to_stderr()
log = structlog.get_logger()
log.warning("a warning")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("what is always told")
print("and went on")
"""


def test_what_is_logged_does_not_stand_in_the_document(weekly, monkeypatch, tmp_path):
    letter = tmp_path / "letter.html"
    letter.write_text("<p>Dear reader</p>", "utf-8")
    create = ["campaign", "create", "weekly", "--purpose", "updates", "--subject", "Hi"]
    assert weekly(*create, "--html", str(letter)).status == 0
    monkeypatch.setenv("MAILER_REDIS_URL", "redis://127.0.0.1:1/0")  # nobody listens there
    ended = weekly("campaign", "send", "1", "--json")
    assert ended.document["campaign_id"] == 1
    assert "doorbell silent" in ended.err


def test_who_logs_goes_on_though_nobody_reads_it(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [sys.executable, "-c", SPEAKS], env=clean_environment(), stdout=subprocess.PIPE,
            stderr=writing, text=True, timeout=WITHIN,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert ended.stdout == "and went on\n"
