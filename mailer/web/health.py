"""What monitors ask: alive, ready, how much."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mailer.domain.errors import Refusal
from mailer.services.installation.alive import alive_workers
from mailer.store.engine import reading
from mailer.store.halting import ADVICE, halted_reason
from mailer.store.migrate import refuse_wrong_version
from mailer.store.models import delivery
from mailer.store.relays import troubles
from mailer.wiring import Parts


def routes() -> list[Route]:
    """Return the routes of this file."""
    return [
        Route("/healthz", alive, methods=["GET"]),
        Route("/readyz", ready, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]


async def alive(_request: Request) -> Response:
    """This process runs."""
    return PlainTextResponse("alive\n")


async def ready(request: Request) -> Response:
    """Database, Redis, relay, and whether anything is sent; 503 where the database is not there.

    A silent Redis, a relay that is being left alone, or a halt is told, but is no reason to take
    no sign-ups.
    """
    parts: Parts = request.app.state.parts
    answer = await run_in_threadpool(_examine, parts)
    return JSONResponse(answer, 200 if answer["database"] == "ok" else 503)


async def metrics(request: Request) -> Response:
    """Prometheus' text format."""
    text = await run_in_threadpool(_metrics, request.app.state.parts)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


def _examine(parts: Parts) -> dict[str, object]:
    sending = "ok"
    try:
        refuse_wrong_version(parts.engine)
        database = "ok"
        with reading(parts.sessions) as session:
            if (reason := halted_reason(session)) is not None:
                sending = f"halted: {reason} {ADVICE}"
            relays = {
                name: reason for name, reason, until in troubles(session) if until > parts.now()
            }
    except (Refusal, SQLAlchemyError) as error:
        database, relays = str(error).splitlines()[0], {}
    redis = "ok" if parts.doorbell.alive() else "silent; workers look for themselves"
    return {"database": database, "redis": redis, "relays": relays or "ok", "sending": sending}


def _metrics(parts: Parts) -> bytes:
    registry = CollectorRegistry()
    open_deliveries = Gauge(
        "mailer_open_deliveries",
        "Deliveries with something left to do",
        ["lane", "state"],
        registry=registry,
    )
    workers = Gauge("mailer_workers_alive", "Workers alive", ["queue"], registry=registry)
    with reading(parts.sessions) as session:
        rows = session.execute(
            select(delivery.c.lane, delivery.c.state, func.count())
            .where(delivery.c.settled_at.is_(None))
            .group_by(delivery.c.lane, delivery.c.state)
        )
        for lane, state, number in rows:
            open_deliveries.labels(str(lane), state).set(number)
        for worker in alive_workers(session, now=parts.now()):
            workers.labels(worker.queue).inc()
    return generate_latest(registry)
