"""Whether every mail that was handed to a relay had a standing consent at that time.

The gate asks for the consent before the first octet of content. Its moment is not kept; what is
kept is when the outcome was known. Between the two lie the deadline for the final dot, the time
that a relay may take to answer it, and a margin for clocks and commits: `HANDING_OVER`. So a mail
is an exception where no consent stood at any moment of that span. Where one ended (or began) within
it, nobody can tell, and the mail is undecided.

Erased readers are checked like all others: their events keep the number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from mailer.domain.consent import SubscriptionState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.domain.leaves import instant
from mailer.domain.replies import Stage
from mailer.domain.suppression import SCOPE_ALL, SuppressionReason
from mailer.services.audit.findings import Finding, Kind
from mailer.services.audit.projection import Histories, Standing
from mailer.store.auditing import AttemptRow, DeliveryRow, SuppressionRow
from mailer.store.auditing_log import PurposeRow

HANDING_OVER = timedelta(minutes=12)
"""5 s from the gate to the final dot, 10 minutes to its answer, and a margin."""

CLOCKS = timedelta(minutes=1)
"""How far the clocks of web process and database may be apart, and a commit from its time."""

_S = DeliveryState
_HANDED = frozenset({_S.SENT.value, _S.UNCERTAIN.value, _S.PRESUMED_SENT.value})
_GATE = "gate"  # the stage of an attempt whose worker died past the gate
_FOR_EVER = "9999"


class Span(NamedTuple):
    """Within which a gate opened."""

    begin: str
    end: str


@dataclass(frozen=True, slots=True)
class Ground:
    """What the mails are compared with."""

    histories: Histories
    purposes: Mapping[int, PurposeRow]
    of_newsletter: Mapping[int, Sequence[int]]  # the purposes of each
    of_campaign: Mapping[int, int]  # the purpose of each
    suppressions: Mapping[int, Sequence[SuppressionRow]]  # of each reader

    def needed(self, row: DeliveryRow) -> tuple[SubscriptionState, list[Sequence[Standing]]] | None:
        """Return which state the gate asks for, and the histories of which one must be in it."""
        reader = row.subscriber_id
        if row.kind == DeliveryKind.CONFIRMATION:
            asked = self.of_newsletter.get(row.newsletter_id, ())
            histories = [self.histories.get((reader, purpose), ()) for purpose in asked]
            return SubscriptionState.PENDING, histories
        purpose_id = self.of_campaign.get(row.campaign_id or 0)
        if purpose_id is None:
            return None
        return SubscriptionState.ACTIVE, [self.histories.get((reader, purpose_id), ())]

    def covers(self, row: DeliveryRow) -> bool:
        """Say whether all is well without a look at the tries: the consent stood all the time."""
        until = row.settled_at or _FOR_EVER
        needed = self.needed(row)
        if needed is None or any(
            each.created_at < until for each in self.suppressions.get(row.subscriber_id, ())
        ):
            return False
        state, histories = needed
        return any(_stood(history, state, row.created_at, until) for history in histories)


def is_in_question(row: DeliveryRow, ground: Ground) -> bool:
    """Say whether the tries of a delivery have to be looked at."""
    return (row.fence > 0 or row.state in _HANDED) and not ground.covers(row)


def check_delivery(
    row: DeliveryRow, tries: Sequence[AttemptRow], ground: Ground
) -> Iterator[Finding]:
    """Yield the times at which the delivery's content was handed over and must not have been."""
    for span in _spans(row, tries):
        yield from _without_consent(row, span, ground)
        for each in ground.suppressions.get(row.subscriber_id, ()):
            if each.created_at < span.begin and _forbids(each, row, ground):
                yield _found(
                    Kind.SUPPRESSED, row, span.end,
                    f"its address was suppressed ({each.scope}) since {each.created_at}",
                )  # fmt: skip


def _spans(row: DeliveryRow, tries: Sequence[AttemptRow]) -> Iterator[Span]:
    """Yield within which times the gate opened for this delivery's content."""
    found = False
    for each in tries:
        if each.stage == _GATE:
            found = True
            yield _span_of_the_dead(row, each)
        elif each.stage == Stage.DOT.value:
            found = True
            yield _span_until(row, each.at)
    if not found and row.state in _HANDED and row.settled_at is not None:
        yield _span_until(row, row.settled_at)


def _span_until(row: DeliveryRow, end: str) -> Span:
    return Span(min(max(row.created_at, _moved(end, -HANDING_OVER)), end), end)


def _span_of_the_dead(row: DeliveryRow, died: AttemptRow) -> Span:
    """The gate opened before its lease ended; where that is not known, at any time before."""
    if row.lease_until is not None and row.lease_until < died.at:
        return _span_until(row, row.lease_until)
    return Span(min(row.created_at, died.at), died.at)


def _without_consent(row: DeliveryRow, span: Span, ground: Ground) -> Iterator[Finding]:
    needed = ground.needed(row)
    if needed is None:
        yield _found(
            Kind.DELIVERY, row, span.end,
            f"campaign {row.campaign_id} is not there, so that nobody knows what consent it needed",
        )  # fmt: skip
        return
    state, histories = needed
    if any(_stood(history, state, span.end, span.end) for history in histories):
        return
    begin, end = span.begin, _moved(span.end, CLOCKS)
    what = "; ".join(_was(history, span.end) for history in histories if history) or "never given"
    if any(_overlaps(history, state, begin, end) for history in histories):
        yield _found(
            Kind.UNDECIDED, row, span.end, f"consent: {what}; the gate may have come before"
        )
    else:
        yield _found(Kind.DELIVERY, row, span.end, f"consent: {what}")


def _stood(history: Sequence[Standing], state: SubscriptionState, begin: str, end: str) -> bool:
    """Say whether the reader was in this state from one moment to the other, both included."""
    for place, standing in enumerate(history):
        following = history[place + 1].at if place + 1 < len(history) else _FOR_EVER
        if following <= begin:
            continue
        if standing.at > begin or not _is(standing, state):
            return False
        if _end(standing, state) < min(end, following):
            return False
        if following > end:
            return True
        begin = following
    return False


def _overlaps(history: Sequence[Standing], state: SubscriptionState, begin: str, end: str) -> bool:
    """Say whether the reader was in this state at any moment from one to the other."""
    for place, standing in enumerate(history):
        following = history[place + 1].at if place + 1 < len(history) else _FOR_EVER
        until = min(following, _end(standing, state))
        if _is(standing, state) and standing.at <= end and until >= begin:
            return True
    return False


def _is(standing: Standing, state: SubscriptionState) -> bool:
    """Say whether the gate would find this state: of an implied consent it may find a request."""
    return standing.state is state or (state is SubscriptionState.PENDING and standing.asks)


def _end(standing: Standing, state: SubscriptionState) -> str:
    """Return when the state was over by itself, if it was; a request is not over with a consent."""
    if standing.state is not state:
        return _FOR_EVER
    return standing.valid_until or _FOR_EVER


def _was(history: Sequence[Standing], at: str) -> str:
    """Say where the reader stood at a moment."""
    found = None
    for standing in history:
        if standing.at <= at:
            found = standing
    if found is None:
        return f"given later, at {history[0].at} (event {history[0].event})"
    if found.valid_until is not None and found.valid_until < at:
        return f"over since {found.valid_until} (event {found.event})"
    return f"{found.state} since {found.since} (event {found.event})"


def _moved(moment: str, by: timedelta) -> str:
    return instant(datetime.fromisoformat(moment) + by)


def _forbids(suppression: SuppressionRow, row: DeliveryRow, ground: Ground) -> bool:
    """Say whether the suppression reaches this mail; who was forgotten may ask again."""
    if suppression.reason == SuppressionReason.ERASURE.value:
        return row.kind != DeliveryKind.CONFIRMATION
    return suppression.scope in (SCOPE_ALL, _slug(row, ground))


def _slug(row: DeliveryRow, ground: Ground) -> str:
    purposes = ground.of_newsletter.get(row.newsletter_id)
    return ground.purposes[purposes[0]].newsletter if purposes else ""


def _found(kind: Kind, row: DeliveryRow, at: str, words: str) -> Finding:
    what = f"campaign {row.campaign_id}" if row.campaign_id else "the confirmation"
    return Finding(
        kind, "delivery", str(row.id),
        f"Handed over to reader {row.subscriber_id} for {what}, known at {at} ({row.state}); "
        f"{words}.",
        {"reader": row.subscriber_id, "campaign": row.campaign_id, "at": at},
    )  # fmt: skip
