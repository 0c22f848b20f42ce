"""From what a relay said, or did not say, to what is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from mailer.domain.campaigns import CampaignState
from mailer.domain.deliveries import DeliveryState
from mailer.domain.replies import Reply, Stage, Verdict, classify, masked
from mailer.domain.retry import retry_delay
from mailer.domain.suppression import SuppressionReason
from mailer.services.ledger_desk import LedgerDesk
from mailer.store.ledger import Claimed, Settlement
from mailer.store.models import Campaign, Subscriber
from mailer.store.relays import back_off, default_relay, recovered
from mailer.store.suppressions import suppress
from mailer.transports import Accepted, HandedOver, Lost, Refused, Unknown

_log = structlog.get_logger()
_S = DeliveryState


@dataclass(frozen=True, slots=True)
class _Told:
    """One thing to write down of a delivery."""

    state: DeliveryState
    stage: Stage | str
    reply: str
    retry_in: timedelta | None = None
    relay_queue_id: str | None = None
    counts: bool = True


class Judge:
    """Settles deliveries by outcome; charges to relay, campaign or address what is theirs."""

    def __init__(
        self,
        desk: LedgerDesk,
        relay: str,
        *,
        now: Callable[[], datetime],
        jitter: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._relay = relay
        self._now = now
        self._jitter = jitter
        self._relay_failing = True  # a success at the beginning clears what stands from before

    async def cannot_be_composed(self, claimed: Claimed, reason: str) -> None:
        """No relay was asked, and none ever can be."""
        await self._settle(claimed, _Told(_S.FAILED, "compose", reason))

    async def relay_failed(self, claimed: Claimed, stage: Stage, reason: str) -> None:
        """The relay cannot be used: leave it alone for a while, and charge no reader."""
        self._relay_failing = True
        wait = await self._desk.run(
            lambda session: back_off(session, default_relay(session), reason, now=self._now())
        )
        _log.warning("relay failed", relay=self._relay, stage=str(stage), reason=reason)
        told = _Told(_S.QUEUED, stage, masked(reason), retry_in=wait, counts=False)
        await self._settle(claimed, told)

    async def not_taken(self, claimed: Claimed, outcome: Refused | Lost) -> None:
        """The relay refused the envelope, or went away: not a byte of content was sent."""
        match outcome:
            case Refused(stage, reply):
                await self._refused(claimed, stage, reply)
            case Lost(stage, reason):
                await self._settle(claimed, self._again(claimed, stage, reason))

    async def handed_over(self, claimed: Claimed, outcome: HandedOver) -> bool:
        """Write down what the relay said to the content; False where the lease was lost."""
        match outcome:
            case Accepted(reply, relay_queue_id):
                told = _Told(_S.SENT, Stage.DOT, masked(str(reply)), relay_queue_id=relay_queue_id)
                held = await self._settle(claimed, told)
                await self._relay_works()
                return held
            case Refused(stage, reply):
                return await self._refused(claimed, stage, reply)
            case Lost(stage, reason):
                return await self._settle(claimed, self._again(claimed, stage, reason))
            case Unknown(reason):
                return await self._settle(claimed, _Told(_S.UNCERTAIN, Stage.DOT, masked(reason)))

    async def _refused(self, claimed: Claimed, stage: Stage, reply: Reply) -> bool:
        said = masked(str(reply))
        match classify(stage, reply):
            case Verdict.RETRY_READER:
                return await self._settle(claimed, self._again(claimed, stage, said))
            case Verdict.BACK_OFF_RELAY:
                await self.relay_failed(claimed, stage, said)
                return True
            case Verdict.FAIL_DELIVERY:
                return await self._settle(claimed, _Told(_S.FAILED, stage, said))
            case Verdict.PAUSE_CAMPAIGN:
                await self._desk.run(lambda session: self._pause(session, claimed, said))
                _log.error("campaign paused by the relay", campaign=claimed.campaign_id, reply=said)
                return await self._settle(claimed, self._again(claimed, stage, said))
            case Verdict.SUPPRESS_ADDRESS:
                held = await self._settle(claimed, _Told(_S.FAILED, stage, said))
                await self._desk.run(lambda session: self._suppress(session, claimed, said))
                return held

    def _again(self, claimed: Claimed, stage: Stage, reason: str) -> _Told:
        wait = retry_delay(claimed.attempts + 1, self._jitter())
        return _Told(_S.QUEUED, stage, masked(reason), retry_in=wait)

    async def _settle(self, claimed: Claimed, told: _Told) -> bool:
        return await self._desk.settle(
            Settlement(
                id=claimed.id,
                period=claimed.period,
                fence=claimed.fence,
                state=told.state,
                relay=self._relay,
                stage=str(told.stage),
                reply=told.reply,
                retry_in=told.retry_in,
                relay_queue_id=told.relay_queue_id,
                counts=told.counts,
            )
        )

    async def _relay_works(self) -> None:
        if self._relay_failing:
            self._relay_failing = False
            await self._desk.run(lambda session: recovered(session, default_relay(session)))

    def _pause(self, session: Session, claimed: Claimed, reason: str) -> None:
        if claimed.campaign_id is None:
            return
        campaign = session.get(Campaign, claimed.campaign_id, with_for_update=True)
        if campaign is not None and campaign.state == CampaignState.SENDING:
            campaign.state = CampaignState.PAUSED.value
            campaign.resume_state = CampaignState.SENDING.value
            campaign.paused_reason = f"the relay refuses our mail: {reason}"

    def _suppress(self, session: Session, claimed: Claimed, reason: str) -> None:
        reader = session.get(Subscriber, claimed.subscriber_id) if claimed.subscriber_id else None
        if reader is not None:
            suppress(
                session,
                reader.address_hash,
                SuppressionReason.HARD_BOUNCE,
                now=self._now(),
                detail=reason,
            )
