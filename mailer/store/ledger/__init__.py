"""The ledger: all SQL that touches deliveries.

plan     one row per reader of a campaign's audience; running it twice adds nothing
claim    lease due rows to one worker, fence + 1
gate     leased → sending, if consent still stands and nobody has taken the lease
settle   sending → sent, queued, failed, uncertain, by fence
close    what a withdrawal, a suppression, a cancellation ends at once
recover  what a dead worker left behind

`docs/crash-table.md` says for every step what a crash there leaves and who repairs it.
"""

from mailer.store.ledger.claim import Claimed, claim, hand_back
from mailer.store.ledger.close import close_campaign, close_for_purpose, close_for_reader
from mailer.store.ledger.exchange import Gated, GateRequest, Settlement, exchange
from mailer.store.ledger.plan import Planned, plan_chunk, queue_mail
from mailer.store.ledger.recover import expire_overdue, recover_abandoned
from mailer.store.ledger.report import counts, has_open

__all__ = [
    "Claimed",
    "GateRequest",
    "Gated",
    "Planned",
    "Settlement",
    "claim",
    "close_campaign",
    "close_for_purpose",
    "close_for_reader",
    "counts",
    "exchange",
    "expire_overdue",
    "hand_back",
    "has_open",
    "plan_chunk",
    "queue_mail",
    "recover_abandoned",
]
