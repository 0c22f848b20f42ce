"""The ledger: all SQL that touches deliveries.

plan     one row per reader of a campaign's audience; running it twice adds nothing
claim    lease due rows to one worker, fence + 1
gate     leased → sending, if consent still stands and nobody has taken the lease
settle   sending → sent, queued, failed, uncertain, by fence
close    what a withdrawal, a suppression, a cancellation ends at once
recover  what a dead worker left behind
requeue  what a person orders: try again, take as sent

`docs/crash-table.md` says for every step what a crash there leaves and who repairs it.
"""

from mailer.store.ledger.claim import Claimed, claim, hand_back
from mailer.store.ledger.close import (
    close_campaign,
    close_confirmations,
    close_for_address,
    close_for_purpose,
)
from mailer.store.ledger.exchange import Gated, GateRequest, Settlement, exchange
from mailer.store.ledger.plan import Planned, plan_chunk, queue_mail
from mailer.store.ledger.recover import expire_overdue, find_abandoned, recover_abandoned
from mailer.store.ledger.report import count_open, counts, has_open, uncertain
from mailer.store.ledger.requeue import presume_sent, requeue

__all__ = [
    "Claimed",
    "GateRequest",
    "Gated",
    "Planned",
    "Settlement",
    "claim",
    "close_campaign",
    "close_confirmations",
    "close_for_address",
    "close_for_purpose",
    "count_open",
    "counts",
    "exchange",
    "expire_overdue",
    "find_abandoned",
    "hand_back",
    "has_open",
    "plan_chunk",
    "presume_sent",
    "queue_mail",
    "recover_abandoned",
    "requeue",
    "uncertain",
]
