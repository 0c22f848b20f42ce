"""From what a relay said, or did not say, to what is written down and what follows from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryKind, DeliveryState
from mailer.domain.replies import Reply, Stage, Verdict, classify, masked
from mailer.domain.retry import retry_delay
from mailer.domain.suppression import SuppressionReason
from mailer.services.campaign_course import pause_campaign
from mailer.services.ledger_desk import Effect
from mailer.store.ledger import Claimed, Settlement
from mailer.store.models import Campaign, Subscriber
from mailer.store.relays import back_off, default_relay, recovered
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
class Judgement:
    """What an outcome comes to: the delivery's settlement, and what else follows from it.

    `relay_trouble` says why the relay is to be left alone, or is empty.
    """

    settlement: Settlement
    effects: tuple[Effect, ...] = ()
    relay_trouble: str = ""


class Judge:
    """Judges outcomes; charges to relay, campaign or address what is theirs."""

    def __init__(
        self, relay: str, *, now: Callable[[], datetime], jitter: Callable[[], float]
    ) -> None:
        self._relay = relay
        self._now = now
        self._jitter = jitter
        self._contents = _Contents()
        self._relay_failing = True  # a success at the beginning clears what stands from before

    def cannot_be_composed(self, claimed: Claimed, reason: str) -> Judgement:
        """No relay was asked, and none ever can be."""
        return Judgement(self._settlement(claimed, _S.FAILED, "compose", reason))

    def relay_failed(self, claimed: Claimed, stage: Stage, reason: str) -> Judgement:
        """The relay cannot be used: leave it alone for a while, and charge no reader."""
        self._relay_failing = True
        return Judgement(
            self._uncounted(claimed, stage, reason),
            (lambda session: back_off(session, default_relay(session), reason, now=self._now()),),
            relay_trouble=masked(reason),
        )

    def outcome(self, claimed: Claimed, outcome: HandedOver) -> Judgement:
        """Judge what the relay said to the envelope, or to the content."""
        match outcome:
            case Accepted(reply, relay_queue_id):
                said = masked(str(reply))
                sent = self._settlement(claimed, _S.SENT, Stage.DOT, said, queue_id=relay_queue_id)
                self._contents.took(claimed.campaign_id)
                return Judgement(sent, self._relay_works())
            case Refused(stage, reply):
                return self._refused(claimed, stage, reply)
            case Lost(Stage.MAIL, reason):
                # The relay went before it heard of this reader.
                return Judgement(self._uncounted(claimed, Stage.MAIL, reason))
            case Lost(stage, reason):
                return Judgement(self._again(claimed, stage, reason))
            case Unknown(reason) if claimed.kind == DeliveryKind.CONFIRMATION:
                # One too many is better than none, and its Message-ID is the same.
                return Judgement(self._again(claimed, Stage.DOT, reason))
            case Unknown(reason):
                return Judgement(self._settlement(claimed, _S.UNCERTAIN, Stage.DOT, masked(reason)))

    def _refused(self, claimed: Claimed, stage: Stage, reply: Reply) -> Judgement:
        said = masked(str(reply))
        match classify(stage, reply):
            case Verdict.RETRY_READER:
                return Judgement(self._again(claimed, stage, said))
            case Verdict.BACK_OFF_RELAY:
                return self.relay_failed(claimed, stage, said)
            case Verdict.FAIL_DELIVERY:
                failed = self._settlement(claimed, _S.FAILED, stage, said)
                return Judgement(failed, self._content_refused(claimed, stage, said))
            case Verdict.PAUSE_CAMPAIGN:
                return Judgement(
                    self._again(claimed, stage, said),
                    (lambda session: _pause_campaign(session, claimed, said),),
                )
            case Verdict.SUPPRESS_ADDRESS:
                return Judgement(
                    self._settlement(claimed, _S.FAILED, stage, said),
                    (lambda session: _suppress_address(session, claimed, said, self._now()),),
                )

    def _content_refused(self, claimed: Claimed, stage: Stage, said: str) -> tuple[Effect, ...]:
        """Pause the campaign where its content, not its readers, is what relays refuse."""
        if stage not in (Stage.DATA, Stage.DOT) or not self._contents.refused(claimed.campaign_id):
            return ()
        reason = f"more than {_MOST_REFUSED} of the last {_WINDOW} mails were refused: {said}"
        return (lambda session: _pause_campaign(session, claimed, reason),)

    def _relay_works(self) -> tuple[Effect, ...]:
        if not self._relay_failing:
            return ()
        self._relay_failing = False
        return (lambda session: recovered(session, default_relay(session)),)

    def _again(self, claimed: Claimed, stage: Stage, reason: str) -> Settlement:
        wait = retry_delay(claimed.attempts + 1, self._jitter())
        return self._settlement(claimed, _S.QUEUED, stage, masked(reason), retry_in=wait)

    def _uncounted(self, claimed: Claimed, stage: Stage, reason: str) -> Settlement:
        return self._settlement(
            claimed, _S.QUEUED, stage, masked(reason), retry_in=_SOON, counts=False
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
            self._relay, stage, reply, retry_in.total_seconds(), queue_id, int(counts),
        )  # fmt: skip


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
