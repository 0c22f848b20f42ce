"""From what a relay said, or did not say, to what is written down and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.domain.relays import RelayKind
from mailer.domain.replies import Reply, Stage, Verdict, classify, masked
from mailer.domain.retry import provider_back_off, retry_delay
from mailer.domain.suppression import SuppressionReason
from mailer.services.campaigns.course import pause_campaign
from mailer.services.delivery.rate import Speed
from mailer.services.delivery.visits import Effect
from mailer.store.ledger import Claimed, Settlement
from mailer.store.models import Campaign, Subscriber
from mailer.store.relays import ITSELF, back_off, recovered
from mailer.store.suppressions import suppress
from mailer.transports import Accepted, HandedOver, Lost, Refused, Unknown

_S = DeliveryState
_SOON = timedelta(seconds=5)


_WINDOW, _MOST_REFUSED = 200, 10
"""A campaign is paused when more than 5 % of its last mails were refused for their content."""


class _Contents:
    """What became of each campaign's last contents: taken (False) or refused (True)."""

    def __init__(self) -> None:
        self._last: dict[int | None, deque[bool]] = {}

    def took(self, campaign_id: int | None) -> None:
        """Note that a relay took the content."""
        window = self._last.get(campaign_id)
        if window is not None:  # without a refusal there is nothing to count
            window.append(False)

    def refused(self, campaign_id: int | None) -> bool:
        """Note that a relay refused the content; say whether that is once too often."""
        window = self._last.setdefault(campaign_id, deque(maxlen=_WINDOW))
        window.append(True)
        if sum(window) <= _MOST_REFUSED:
            return False
        window.clear()  # whoever resumes the campaign begins anew
        return True


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a relay (`ITSELF`), or a receiving provider behind it, is to be left alone."""

    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What an outcome comes to: the delivery's settlement, and what else follows from it."""

    settlement: Settlement
    effects: tuple[Effect, ...] = ()
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Party:
    """The relay that is judged: its row, how attempts call it, and whose replies it gives."""

    id: int
    name: str
    kind: RelayKind = RelayKind.QUEUEING


class Judge:
    """Judges outcomes; charges to relay, provider, campaign or address what is theirs."""

    def __init__(
        self, relay: Party, *, now: Callable[[], datetime], jitter: Callable[[], float]
    ) -> None:
        self._relay = relay
        self._now = now
        self._jitter = jitter
        self._contents = _Contents()
        self.speed = Speed()
        """How fast this relay takes mails just now."""
        self.workers = 1
        """How many workers send: together they are so many times as fast."""
        self.failing = {ITSELF}
        """Who is known to have failed. (A success at the beginning clears what stands before.)"""

    def cannot_be_composed(self, claimed: Claimed, reason: str) -> Judgement:
        """No relay was asked, and none ever can be."""
        return Judgement(self._settlement(claimed, _S.FAILED, "compose", reason))

    def relay_failed(
        self, claimed: Claimed, stage: Stage, reason: str, *, speed: float | None = None
    ) -> Judgement:
        """The relay cannot be used: leave it alone for a while, and charge no reader."""
        settlement = self._uncounted(claimed, stage, reason, _SOON)
        return self._failed(settlement, ITSELF, reason, speed)

    def _provider_failed(self, claimed: Claimed, stage: Stage, reason: str) -> Judgement:
        """The receiver turns us away: leave it alone for a while, and charge no reader.

        This one comes after the others then, should it be about this reader after all.
        """
        wait = provider_back_off(1) * (1 + self._jitter())
        settlement = self._uncounted(claimed, stage, reason, wait)
        speed = self.speed.of(claimed.provider) * self.workers
        return self._failed(settlement, claimed.provider, reason, speed)

    def _failed(
        self, settlement: Settlement, provider: str, reason: str, speed: float | None
    ) -> Judgement:
        if provider == ITSELF:
            self.failing.add(provider)
        else:  # what was under way before does not show that it works again
            self.failing.discard(provider)

        def leave_alone(session: Session) -> None:
            back_off(
                session, self._relay.id, reason, now=self._now(), provider=provider, speed=speed
            )

        effect = Effect(self._standing_of(provider), leave_alone)
        return Judgement(settlement, (effect,), Trouble(provider, masked(reason)))

    def outcome(self, claimed: Claimed, outcome: HandedOver) -> Judgement:
        """Judge what the relay said to the envelope, or to the content."""
        match outcome:
            case Accepted(reply, relay_queue_id):
                said = masked(str(reply))
                sent = self._settlement(claimed, _S.SENT, Stage.DOT, said, queue_id=relay_queue_id)
                self._contents.took(claimed.campaign_id)
                self.speed.took(claimed.provider)
                return Judgement(sent, self._works(claimed))
            case Refused(stage, reply):
                return self._refused(claimed, stage, reply)
            case Lost(Stage.MAIL, reason):
                # The relay went before it heard of this reader.
                return Judgement(self._uncounted(claimed, Stage.MAIL, reason, _SOON))
            case Lost(stage, reason):
                return Judgement(self._again(claimed, stage, reason))
            case Unknown(reason) if DeliveryKind(claimed.kind).is_repeatable:
                # Its Message-ID is the same.
                return Judgement(self._again(claimed, Stage.DOT, reason))
            case Unknown(reason):
                return Judgement(self._settlement(claimed, _S.UNCERTAIN, Stage.DOT, masked(reason)))

    def _refused(self, claimed: Claimed, stage: Stage, reply: Reply) -> Judgement:
        said = masked(str(reply))
        match classify(stage, reply, self._relay.kind):
            case Verdict.RETRY_READER:
                return Judgement(self._again(claimed, stage, said), self._works(claimed))
            case Verdict.BACK_OFF_PROVIDER:
                return self._provider_failed(claimed, stage, said)
            case Verdict.SLOW_RELAY:
                speed = self.speed.of() * self.workers
                return self.relay_failed(claimed, stage, said, speed=speed)
            case Verdict.BACK_OFF_RELAY:
                return self.relay_failed(claimed, stage, said)
            case Verdict.FAIL_DELIVERY:
                failed = self._settlement(claimed, _S.FAILED, stage, said)
                effects = self._content_refused(claimed, stage, said)
                return Judgement(failed, (*self._works(claimed), *effects))
            case Verdict.PAUSE_CAMPAIGN:
                return Judgement(self._again(claimed, stage, said), _pausing(claimed, said))
            case Verdict.SUPPRESS_ADDRESS:
                return Judgement(
                    self._settlement(claimed, _S.FAILED, stage, said),
                    (*self._works(claimed), *self._suppressing(claimed, said)),
                )

    def _content_refused(self, claimed: Claimed, stage: Stage, said: str) -> tuple[Effect, ...]:
        """Pause the campaign where its content, not its readers, is what relays refuse."""
        if stage not in (Stage.DATA, Stage.DOT) or not self._contents.refused(claimed.campaign_id):
            return ()
        reason = f"more than {_MOST_REFUSED} of the last {_WINDOW} mails were refused: {said}"
        return _pausing(claimed, reason)

    def _works(self, claimed: Claimed) -> tuple[Effect, ...]:
        """The relay, and the receiver behind it, have an ear for us: forget that they failed."""
        well = self.failing & {ITSELF, claimed.provider} if self.failing else ()
        if not well:
            return ()
        self.failing -= well
        return tuple(self._recovering(each) for each in well)

    def _recovering(self, provider: str) -> Effect:
        return Effect(
            self._standing_of(provider),
            lambda session: recovered(session, self._relay.id, provider),
        )

    def _suppressing(self, claimed: Claimed, reason: str) -> tuple[Effect, ...]:
        locks = ("reader", claimed.subscriber_id or 0, "")
        return (
            Effect(locks, lambda session: _suppress_address(session, claimed, reason, self._now())),
        )

    def _standing_of(self, provider: str) -> tuple[str, int, str]:
        return "relay", self._relay.id, provider

    def _again(self, claimed: Claimed, stage: Stage, reason: str) -> Settlement:
        wait = retry_delay(claimed.attempts + 1, self._jitter())
        return self._settlement(claimed, _S.QUEUED, stage, masked(reason), retry_in=wait)

    def _uncounted(
        self, claimed: Claimed, stage: Stage, reason: str, wait: timedelta
    ) -> Settlement:
        return self._settlement(
            claimed, _S.QUEUED, stage, masked(reason), retry_in=wait, counts=False
        )

    def _settlement(
        self,
        claimed: Claimed,
        state: DeliveryState,
        stage: Stage | str,
        reply: str,
        *,
        retry_in: timedelta = timedelta(),
        queue_id: str | None = None,
        counts: bool = True,
    ) -> Settlement:
        return Settlement(
            claimed.id, claimed.period, claimed.fence, state,
            self._relay.name, stage, reply, retry_in.total_seconds(), queue_id, int(counts),
        )  # fmt: skip


def _pausing(claimed: Claimed, reason: str) -> tuple[Effect, ...]:
    locks = ("campaign", claimed.campaign_id or 0, "")
    return (Effect(locks, lambda session: _pause_campaign(session, claimed, reason)),)


def _pause_campaign(session: Session, claimed: Claimed, reason: str) -> None:
    if claimed.campaign_id is None:
        return
    campaign = session.get(Campaign, claimed.campaign_id, with_for_update=True)
    if campaign is not None and campaign.state == CampaignState.SENDING:
        pause_campaign(session, campaign, reason=f"the relay refuses our mail: {reason}")


def _suppress_address(session: Session, claimed: Claimed, reason: str, now: datetime) -> None:
    reader = session.get(Subscriber, claimed.subscriber_id) if claimed.subscriber_id else None
    if reader is not None:
        suppress(
            session, reader.address_hash, SuppressionReason.HARD_BOUNCE, now=now, detail=reason
        )
