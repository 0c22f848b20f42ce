"""Importing a list of readers: read and checked as a whole, then written in the order of hashes.

A file that is broken anywhere is refused before anything is written. What is interrupted after that
goes on where it stopped when the same file is imported on the same terms; what is finished changes
nothing a second time.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from mailer.domain.consent import ConsentState, SubscriptionState
from mailer.domain.importing import Outcome, Standing, decide, readers_of
from mailer.lists.rejects import RejectFile
from mailer.lists.spool import Spool, stretches, unpacked
from mailer.lists.table import DELIMITERS
from mailer.services.imports.course import WORTH_A_PROCESS, one_ahead, prepared_readers, read_rows
from mailer.services.imports.helper import Helper, helping
from mailer.services.imports.known import Desk
from mailer.services.imports.order import CannotImport, ImportOrder, Job, look_into
from mailer.services.imports.rows import Reading, RowReader, milliseconds
from mailer.services.imports.tally import Tally, repeated
from mailer.services.imports.writing import ImportWriter, Pace
from mailer.services.newsletters.notices import current_notice
from mailer.store.actions import note_action
from mailer.store.consents import ShownNotice, asks_anew
from mailer.store.engine import Sessions, reading
from mailer.store.importing.ground import Known, look_up
from mailer.store.importing.prepare import Preparer, Request
from mailer.store.importing.runs import begin_run, find_run, finish_run
from mailer.store.importing.write import reserve_events, reserve_readers
from mailer.store.models import ImportRun, Newsletter
from mailer.store.vault import Vault

Progress = Callable[[str, int, int], object]
"""Is told what is done now, how much of it, and of how much."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an import needs of the installation."""

    sessions: Sessions
    desk: Desk
    folder: Path
    operator: str
    pause: Callable[[], None]
    progress: Progress


def import_list(order: ImportOrder, around: Surroundings, *, dry_run: bool) -> dict[str, Any]:
    """Import a list, or say what would become of it; return the report."""
    job = look_into(order, around.sessions)
    if order.stated_at and order.stated_at > around.desk.now():
        raise CannotImport(f"The date of the consents, {order.stated_at:%Y-%m-%d}, lies ahead.")
    with reading(around.sessions) as session:
        run, vault = find_run(session, job.fingerprint), Vault.of(session)
    if run is not None and run.finished_at is not None:
        return _report(job, Tally(repeated(run.counts)), repeated_of=run, dry_run=dry_run)
    began = run.started_at if run else around.desk.now()
    rejects = None
    if not dry_run:
        rejects = RejectFile(
            order.rejects or order.path.with_name(f"{order.path.name}.rejected.csv"),
            job.table.columns,
        )
    with ExitStack() as stack:
        stack.enter_context(_few_collections())
        spool = stack.enter_context(closing(Spool(around.folder)))
        if rejects:
            stack.callback(rejects.discard)
        preparer = Preparer(job.terms, vault)
        how = _how_to_read(job, around, began)
        helper = None
        if job.table.file.size > WORTH_A_PROCESS:
            helper = stack.enter_context(helping(how, job.terms, vault))
        read = _read(job, RowReader(how), helper, spool, rejects, around)
        if dry_run:
            return _report(job, _foresee(job, spool, read, around), dry_run=True)
        written = rejects.finish() if rejects else None
        resumed_at = run.rows_done if run else 0
        run = run or _begin(job, read, around, began)
        tally = _write(job, run, spool, read, preparer, helper, around)
        return _report(job, tally, rejects=written, resumed_at=resumed_at)


@contextmanager
def _few_collections() -> Iterator[None]:
    """Let Python look for rubbish rarely: rows are many, and no rubbish of that kind."""
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_OBJECTS, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


_OBJECTS = 100_000


def _how_to_read(job: Job, around: Surroundings, began: datetime) -> Reading:
    return Reading(
        job.columns,
        len(job.table.columns),
        around.desk.suppression_key,
        began,
        job.terms.valid_for,
        job.order.stated_at,
        job.terms.asks,
    )


def _read(
    job: Job,
    reader: RowReader,
    helper: Helper | None,
    spool: Spool,
    rejects: RejectFile | None,
    around: Surroundings,
) -> Tally:
    """Read and check the whole file into the spool; return the rows that cannot be used."""
    tally = Tally()
    size = job.table.file.size
    rows = job.table.rows(job.columns.email, lambda read: around.progress("reading", read, size))
    for (line, cells), said in read_rows(rows, reader, helper):
        if not isinstance(said, str):
            spool.add(said)
            continue
        tally.reject(line, said)
        if rejects:
            rejects.add(line, said, cells)
    spool.finish()
    around.progress("reading", size, size)
    job.table.file.refuse_changed()
    return tally


def _write(
    job: Job,
    run: ImportRun,
    spool: Spool,
    read: Tally,
    preparer: Preparer,
    helper: Helper | None,
    around: Surroundings,
) -> Tally:
    """Write what is in the spool, from where an earlier run of this import was interrupted."""
    sessions, now = around.sessions, around.desk.now
    tally = Tally.from_counts(run.counts)
    tally.rejected = read.rejected
    sqlite = job.terms.dialect == "sqlite"
    writer = ImportWriter(
        sessions,
        preparer,
        around.desk,
        Pace(_SHORT if sqlite else _LONG, around.pause),
        run_id=run.id,
        done=run.rows_done,
        tally=tally,
    )
    events = len(job.terms.purposes)

    def numbers(readers: int) -> Request:
        with sessions.begin() as session:
            at = milliseconds(now())
            ids = reserve_readers(session, readers)
            return Request(at, ids, reserve_events(session, readers * events))

    def wrote(done: int) -> None:
        around.progress("importing", done, spool.rows)

    batches = prepared_readers(spool, preparer, numbers, helper, done=run.rows_done)
    for batch in one_ahead(batches):
        writer.write(batch, wrote)
    with sessions.begin() as session:
        finish_run(session, run.id, done=writer.done, now=now())
        _note(session, job, run, around, finished=True, counts=writer.tally.counts)
    return writer.tally


_SHORT, _LONG = 0.03, 0.08
"""Seconds of a transaction: SQLite has one writer, PostgreSQL makes only the same reader wait."""


def _begin(job: Job, read: Tally, around: Surroundings, began: datetime) -> ImportRun:
    with around.sessions.begin() as session:
        run = begin_run(
            session,
            job.terms.newsletter_id,
            job.fingerprint,
            job.terms.source,
            read.counts,
            now=began,
        )
        _note(session, job, run, around, finished=False, counts=read.counts)
    return run


def _note(
    session: Session,
    job: Job,
    run: ImportRun,
    around: Surroundings,
    *,
    finished: bool,
    counts: Mapping[str, int],
) -> None:
    details = {
        "import": run.id,
        "newsletter": job.terms.newsletter,
        "purposes": [slug for _, slug in job.terms.purposes],
        "finished": finished,
        "counts": dict(counts),
    }
    now = around.desk.now()
    note_action(session, around.operator, "subscriber import", now=now, details=details)


def _foresee(job: Job, spool: Spool, read: Tally, around: Surroundings) -> Tally:
    """Count what would become of the rows; nothing is written."""
    terms, now = job.terms, around.desk.now()
    purpose_ids = [purpose_id for purpose_id, _ in terms.purposes]
    given = ConsentState.REQUESTED if terms.asks else ConsentState.GIVEN
    done = 0
    for stretch in stretches(spool, 0):
        readers = list(readers_of(unpacked(spool.raw(stretch.buckets))))
        with reading(around.sessions) as session:
            hashes = [reader.row.hashed for reader in readers]
            ground = look_up(session, hashes, terms.newsletter, purpose_ids, lock=False)
            newsletter = session.get_one(Newsletter, terms.newsletter_id)
            for reader in readers:
                row = reader.row
                known = ground.known.get(row.hashed)
                states = known.states if known else [None] * len(purpose_ids)
                if known and terms.asks:
                    states = _unless_old(session, newsletter, known, row.locale, now)
                suppressed = row.hashed in ground.suppressed
                standing = Standing(row.standing)
                decision = decide(standing, states, suppressed=suppressed, given=given)
                read.count(decision.outcome)
        read.count_doubles(readers)
        done += stretch.rows
        around.progress("looking", done, spool.rows)
    return read


def _unless_old(
    session: Session, newsletter: Newsletter, known: Known, locale: str, now: datetime
) -> list[SubscriptionState | None]:
    """Return where the reader stands; a request that would be made anew counts as run out."""
    notice = current_notice(session, newsletter, locale or newsletter.locale)
    shown = ShownNotice(notice, assumed=True) if notice else None
    return [
        SubscriptionState.EXPIRED
        if each and each.state == SubscriptionState.PENDING and asks_anew(session, each, shown, now)
        else state
        for each, state in zip(known.subscriptions, known.states, strict=True)
    ]


def _report(
    job: Job,
    tally: Tally,
    *,
    dry_run: bool = False,
    rejects: Path | None = None,
    resumed_at: int = 0,
    repeated_of: ImportRun | None = None,
) -> dict[str, Any]:
    table = job.table
    return {
        "newsletter": job.terms.newsletter,
        "purposes": [slug for _, slug in job.terms.purposes],
        "file": str(table.file.path),
        "encoding": table.file.encoding.removesuffix("-sig"),
        "delimiter": DELIMITERS.get(table.delimiter, table.delimiter),
        "recognised": job.columns.recognised or None,
        "columns": dict(job.columns.named),
        "dry_run": dry_run,
        "rows": sum(tally.counts.values()),
        **{str(outcome): tally.counts[outcome] for outcome in Outcome},
        "examples": {"rejected": tally.rejected, "doubled": tally.doubled},
        "rejects": str(rejects) if rejects else None,
        "resumed_at": resumed_at,
        "imported_before": repeated_of.finished_at if repeated_of else None,
    }
