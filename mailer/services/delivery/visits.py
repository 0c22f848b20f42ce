"""What connections bring to the ledger's desk, and how they are answered on their loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from mailer.store.ledger import Gated, GateRequest, Settlement


class Effect(NamedTuple):
    """What else follows from a settlement: a suppression, a pause. In the settlement's transaction.

    `locks` names the row that it locks. Effects are run in this order, whichever connection they
    come from: two workers that back off two providers in different orders would be a deadlock.
    """

    locks: tuple[str, int, str]
    act: Callable[[Session], object]


class LedgerSilent(Exception):
    """The database did not answer; nothing may be handed over."""


@dataclass(slots=True)
class Visit:
    """One connection's turn: what it knows, and what it asks."""

    settlements: tuple[Settlement, ...]
    request: GateRequest | None
    effects: tuple[Effect, ...]
    answer: asyncio.Future[Any]


@dataclass(slots=True)
class Errand:
    """Other work of the sender, in a transaction of its own."""

    work: Callable[[Session], Any]
    answer: asyncio.Future[Any]


class Told(NamedTuple):
    """The desk's answer: whether each settlement's fence still held, and what the gate says."""

    held: tuple[bool, ...]
    gated: Gated | None


def post(answers: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    """Give answers to their visitors, on the loop that they wait on."""
    if answers:
        loop = answers[0][0].get_loop()
        loop.call_soon_threadsafe(_give, answers)


def _give(answers: Sequence[tuple[asyncio.Future[Any], object]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
