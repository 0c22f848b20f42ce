"""Deciding what one transaction of an import does with the next readers of a list.

Nearly all readers of most lists are new and alike, and there may be a million of them: about those
it decides once, and they are no more than places in the batch afterwards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, NamedTuple

from mailer.domain.importing import SUPPRESSES, Decision, ListRow, Outcome, Standing, decide
from mailer.services.imports.tally import Tally
from mailer.store.importing.ground import Ground, Known
from mailer.store.importing.prepare import Batch, Terms


class _Way(Enum):
    """How a reader is written."""

    NEW = auto()
    KNOWN = auto()
    ONE_BY_ONE = auto()
    NOTHING = auto()


_COSTS = {_Way.NEW: 1.0, _Way.KNOWN: 4.0, _Way.ONE_BY_ONE: 60.0, _Way.NOTHING: 0.3}


class Step(NamedTuple):
    """A reader who is looked at alone: what the list says, what is known, and what follows."""

    place: int
    row: ListRow
    known: Known | None
    decision: Decision


@dataclass(slots=True)
class Newcomers:
    """Readers whom nobody knew, and for whom the same follows."""

    decision: Decision
    way: _Way
    cost: float
    places: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """What one transaction does with the readers from one place of a batch up to another."""

    batch: Batch
    begin: int
    end: int
    tally: Tally
    """Everybody is counted here but those who are handled one by one: that must be seen."""
    new: list[Newcomers] = field(default_factory=list)
    known: list[Step] = field(default_factory=list)
    one_by_one: list[Step] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many rows of the list that is."""
        return sum(reader.rows for reader in self.batch.readers[self.begin : self.end])


class Planner:
    """Plans transactions under the terms of one import."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._unknown = [None] * len(terms.purposes)

    def plan(self, batch: Batch, begin: int, room: float, ground: Ground, tally: Tally) -> Plan:
        """Return what is done with about as many readers as there is room for, at least with one.

        `room` is in costs: those of one new reader are 1. `tally` is counted on.
        """
        plan = Plan(batch, begin, begin, tally)
        alike: dict[tuple[str, bool], Newcomers] = {}
        cost = 0.0
        for place in range(begin, min(begin + int(room), len(batch.readers))):
            row = batch.readers[place].row
            known = ground.known.get(row.hashed)
            suppressed = row.hashed in ground.suppressed
            if known is None:
                newcomers = alike.get((row.standing, suppressed))
                if newcomers is None:
                    newcomers = self._newcomers(row, suppressed=suppressed)
                    alike[row.standing, suppressed] = newcomers
                cost += newcomers.cost
                if cost > room and place > begin:
                    break
                newcomers.places.append(place)
            else:
                decision, way = self._decision(row, known, suppressed=suppressed)
                cost += _COSTS[way]
                if cost > room and place > begin:
                    break
                self._add(plan, way, Step(place, row, known, decision))
            plan.end = place + 1
        for newcomers in alike.values():
            self._add_newcomers(plan, newcomers)
        tally.count_doubles(batch.readers[begin : plan.end])
        return plan

    def _newcomers(self, row: ListRow, *, suppressed: bool) -> Newcomers:
        decision, way = self._decision(row, None, suppressed=suppressed)
        return Newcomers(decision, way, _COSTS[way])

    @staticmethod
    def _add_newcomers(plan: Plan, newcomers: Newcomers) -> None:
        if newcomers.way is _Way.ONE_BY_ONE:
            readers = plan.batch.readers
            plan.one_by_one += [
                Step(place, readers[place].row, None, newcomers.decision)
                for place in newcomers.places
            ]
            return
        plan.tally.count(newcomers.decision.outcome, len(newcomers.places))
        if newcomers.way is _Way.NEW and newcomers.places:
            plan.new.append(newcomers)

    @staticmethod
    def _add(plan: Plan, way: _Way, step: Step) -> None:
        if way is _Way.ONE_BY_ONE:
            plan.one_by_one.append(step)
            return
        plan.tally.count(step.decision.outcome)
        if way is _Way.KNOWN:
            plan.known.append(step)

    def _decision(
        self, row: ListRow, known: Known | None, *, suppressed: bool
    ) -> tuple[Decision, _Way]:
        standing = Standing(row.standing)
        states = known.states if known else self._unknown
        decision = decide(standing, states, suppressed=suppressed)
        return decision, self._way(standing, known, decision, row)

    def _way(
        self, standing: Standing, known: Known | None, decision: Decision, row: ListRow
    ) -> _Way:
        if standing in SUPPRESSES:
            return _Way.ONE_BY_ONE
        if decision.outcome is Outcome.SUPPRESSED:
            return _Way.NOTHING
        leaves = standing is Standing.UNSUBSCRIBED
        if self._terms.asks and not leaves:
            return _Way.ONE_BY_ONE
        if known is None:
            return _Way.NEW
        if leaves:
            return _Way.ONE_BY_ONE if any(decision.events) else _Way.NOTHING
        told = any(decision.events) or merged(known, row) != known.reader.attributes
        return _Way.KNOWN if told else _Way.NOTHING


def merged(known: Known, row: ListRow) -> dict[str, Any]:
    """Return the reader's attributes with those of the list."""
    attributes = known.reader.attributes
    return {**attributes, **json.loads(row.attributes)} if row.attributes else attributes
