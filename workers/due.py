"""Doing what is due, with the parts of this process; the same for tasks and for `--until-idle`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import structlog

from mailer.domain.errors import Refusal
from mailer.services.campaigns.preparing import prepare_campaign
from mailer.services.consent.checkpoints import sign_daily
from mailer.services.consent.log import sequence_in_turn
from mailer.services.consent.witnessing import visit
from mailer.services.digests.approvals import ask_editors
from mailer.services.installation.alive import BEAT_EVERY, say_alive, say_gone
from mailer.services.operations.tick import Due, read_feeds, run_due_digests, sweep, tick
from mailer.services.privacy.erasing import finish_erasures
from mailer.services.privacy.old_files import Folders
from mailer.services.privacy.retention import Job, retain_daily
from mailer.wiring import Parts, worker_name

_log = structlog.get_logger()

_PAUSE_BETWEEN_CHUNKS = 0.002  # SQLite: so that a withdrawal need not wait for the whole campaign


def tick_once(parts: Parts) -> Due:
    """Tell the witness how far we have come, do what time has made due, and return what waits."""
    try:
        visit(parts.sessions, parts.witness, now=parts.now())
    except OSError as error:
        _log.error("the witness folder was not told", reason=str(error))
    return tick(parts.sessions, now=parts.now)


def read_feeds_once(parts: Parts) -> None:
    """Read the feeds whose time has come."""
    read_feeds(parts.sessions, fetch=parts.fetch, now=parts.now)


def run_digests(parts: Parts) -> int:
    """Run the digests that are due; return how many became campaigns."""
    return run_due_digests(parts.sessions, fetch=parts.fetch, images=parts.images, now=parts.now)


def ask_editors_once(parts: Parts) -> int:
    """Mail the digests that wait for an editor's word; return how many mails there are."""
    return ask_editors(parts.sessions, renderer=parts.renderer, now=parts.now())


def sweep_once(parts: Parts) -> None:
    """Put right what was left behind, end what is overdue, and sign the log when a day is over."""
    sweep(parts.sessions, now=parts.now, pause=_let_others_write)
    finish_erasures(parts.sessions, parts.places, now=parts.now)
    sign_daily(parts.sessions, parts.notary, now=parts.now)


def sequence_once(parts: Parts) -> None:
    """Give the leaves that wait their place in the consent log."""
    sequence_in_turn(parts.sessions)


def retain_once(parts: Parts) -> None:
    """Delete what has been kept for long enough, if nobody has today."""
    retain_daily(retention_job(parts), parts.settings.retention)


def retention_job(parts: Parts) -> Job:
    """Return what the retention job needs."""
    folders = Folders(parts.settings.home, parts.settings.inbox_dir)
    return Job(
        parts.sessions, folders, parts.now, _let_others_write, parts.settings.migration_url
    )  # fmt: skip


def work_off(parts: Parts, progress: Callable[[str], None] = lambda _: None) -> bool:
    """Do everything but the sending that is due now; say whether there was any."""
    sequence_once(parts)
    due = tick_once(parts)
    for campaign_id in due.campaigns:
        progress(f"preparing campaign {campaign_id}")
        with contextlib.suppress(Refusal):  # the campaign is paused and says why
            prepare_one(parts, campaign_id)
    ran = run_digests(parts) if due.digests else 0
    if due.feeds:
        progress("reading feeds")
        read_feeds_once(parts)
    ask_editors_once(parts)
    return bool(due.campaigns or ran)


def prepare_one(parts: Parts, campaign_id: int) -> int:
    """Compile and plan one campaign; raises Refusal where it cannot be rendered."""
    return prepare_campaign(
        parts.sessions,
        campaign_id,
        renderer=parts.renderer,
        now=parts.now,
        pause=_let_others_write,
    )


def work_until_idle(parts: Parts, progress: Callable[[str], None] = lambda _: None) -> None:
    """Do everything that is due now, in this process, and return when nothing is left."""
    name = worker_name("all")
    _say_alive(parts, name)
    sender = parts.sender(name)
    sender.start()
    try:
        sweep_once(parts)
        while True:
            worked = work_off(parts, progress)
            sender.wake()
            while not sender.idle.wait(BEAT_EVERY.total_seconds()):
                _say_alive(parts, name)
            if not worked:
                tick_once(parts)  # ends the campaigns that have just been sent
                sequence_once(parts)  # what relays said of readers, and who left meanwhile
                retain_once(parts)
                return
    finally:
        sender.stop()
        with parts.sessions.begin() as session:
            say_gone(session, name)


def _say_alive(parts: Parts, name: str) -> None:
    with parts.sessions.begin() as session:
        say_alive(session, name, "all", now=parts.now())


def _let_others_write() -> None:
    time.sleep(_PAUSE_BETWEEN_CHUNKS)
