"""Whether the personal part of every event is there, opens, and is what the event commits to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from mailer.domain.consent import ConsentState
from mailer.domain.leaves import commitment_key, commitment_to
from mailer.services.audit.findings import Finding, Kind
from mailer.store.auditing import EventRow
from mailer.store.vault import LostEvidence, Vault

_TABLE = "consent_evidence"
_AGREED = (ConsentState.GIVEN, ConsentState.RENEWED)


def check_evidence(
    vault: Vault, reader: int, sealed_key: bytes | None, events: Sequence[EventRow], *, erased: bool
) -> Iterator[Finding]:
    """Yield what does not hold of one reader's evidence; `sealed_key` is None where no row is."""
    if sealed_key is None:
        yield from _forgotten(reader, events, erased=erased)
        return
    try:
        key = vault.open_key(sealed_key)
    except (LostEvidence, TypeError):
        yield Finding(
            Kind.EVIDENCE, "subscriber", str(reader),
            f"The reader's key cannot be opened, nor what is sealed under it ({len(events)} "
            "pieces of evidence): sealed_key was changed.",
            {"reader": reader},
        )  # fmt: skip
        return
    for event in events:
        if event.sealed is None:
            if event.id not in came_to_nothing(events):
                yield _found(event, "It is gone, and the reader is not.")
        elif not _opens(vault, key, event.event_id, event.sealed, event.commitment):
            yield _found(
                event,
                "It does not open, or is not what the event commits to: one of them was changed.",
            )


def _opens(vault: Vault, key: bytes, event_id: str, sealed: bytes, committed: bytes) -> bool:
    try:
        personal = vault.unsealed(key, event_id, sealed)
        return commitment_to(commitment_key(key, event_id), personal) == committed
    except (LostEvidence, TypeError, ValueError):
        return False


def came_to_nothing(events: Sequence[EventRow]) -> set[int]:
    """Return a reader's requests that ended without a consent, and their ends.

    They prove nothing that anybody relies on, so that retention may take their evidence away. Where
    an implied consent went on meanwhile, the end is that consent's, and it is kept.
    """
    asked: defaultdict[int, list[int]] = defaultdict(list)
    stands: set[int] = set()  # the purposes with a consent
    found: set[int] = set()
    for event in events:
        purpose = event.purpose_id
        if event.state == ConsentState.REQUESTED:
            asked[purpose].append(event.id)
            continue
        requests = asked.pop(purpose, [])
        if event.state in _AGREED:
            stands.add(purpose)
            continue
        found.update(requests)
        if requests and purpose not in stands:
            found.add(event.id)
        stands.discard(purpose)
    for purpose in stands:
        found.update(asked.get(purpose, ()))
    return found


def _forgotten(reader: int, events: Sequence[EventRow], *, erased: bool) -> Iterator[Finding]:
    if not erased:
        yield Finding(
            Kind.READER, "subscriber", str(reader),
            f"The reader's row is gone, {len(events)} consent events are not, and no erasure is "
            "written down.",
            {"reader": reader},
        )  # fmt: skip
    for event in events:
        if event.sealed is not None:
            yield _found(event, f"Reader {reader} is gone, and this is still there.")


def _found(event: EventRow, words: str) -> Finding:
    reader = {"reader": event.subscriber_id}
    return Finding(Kind.EVIDENCE, _TABLE, str(event.id), words, reader)
