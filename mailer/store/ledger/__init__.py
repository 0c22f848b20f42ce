"""The ledger: all SQL that touches deliveries.

plan     one row per reader of a campaign's audience; running it twice adds nothing
sample   who of the audience goes first, where a canary is ordered, and what became of them
claim    lease due rows to one worker, fence + 1
variants which compiled mail is for whom, where that differs by reader
hold     what waits for its receiving provider is put off
gate     leased → sending, if consent still stands and nobody has taken the lease
settle   sending → sent, queued, failed, uncertain, by fence
close    what a withdrawal, an answer, a suppression, a cancellation ends at once
correct  what workers hold of a content that is replaced; who got which
recover  what a dead worker left behind
requeue  what a person orders: try again, take as sent
doubt    in a restored backup, what may have gone out since
evidence what settles an uncertain delivery: a relay's log, a worker that tells it late
person   one reader's mails, when they ask for everything about them
forget   what is forgotten of mails in time

`docs/crash-table.md` says for every step what a crash there leaves and who repairs it.
"""

from mailer.store.ledger.claim import OF_NO_CAMPAIGN, Claimed, Source, claim, hand_back, sources
from mailer.store.ledger.close import (
    close_campaign,
    close_confirmations,
    close_for_address,
    close_for_addresses,
    close_for_purpose,
    close_questions,
)
from mailer.store.ledger.correct import (
    Key,
    counts_by_version,
    in_hand,
    recall,
    still_past_gate,
)
from mailer.store.ledger.doubt import doubt_open
from mailer.store.ledger.evidence import (
    BY_LOG,
    Proof,
    doubts,
    find_doubt,
    settle_by_evidence,
    surely_sent,
)
from mailer.store.ledger.exchange import Gated, GateRequest, Settlement, exchange
from mailer.store.ledger.forget import (
    BEGIN_OF_ATTEMPTS,
    Place,
    count_attempts,
    count_test_addresses,
    delete_attempts,
    forget_test_addresses,
)
from mailer.store.ledger.hold import let_go, put_off
from mailer.store.ledger.person import attempts_of, mails_of
from mailer.store.ledger.plan import Planned, plan_chunk, queue_mail
from mailer.store.ledger.recover import expire_overdue, find_abandoned, recover_abandoned
from mailer.store.ledger.report import count_open, counts, has_open, uncertain
from mailer.store.ledger.requeue import in_state, presume_sent, requeue
from mailer.store.ledger.sample import Sample, choose_sample, has_untried, sample_outcome
from mailer.store.ledger.variants import let_wait, problems, set_variants

__all__ = [
    "BEGIN_OF_ATTEMPTS",
    "BY_LOG",
    "OF_NO_CAMPAIGN",
    "Claimed",
    "GateRequest",
    "Gated",
    "Key",
    "Place",
    "Planned",
    "Proof",
    "Sample",
    "Settlement",
    "Source",
    "attempts_of",
    "choose_sample",
    "claim",
    "close_campaign",
    "close_confirmations",
    "close_for_address",
    "close_for_addresses",
    "close_for_purpose",
    "close_questions",
    "count_attempts",
    "count_open",
    "count_test_addresses",
    "counts",
    "counts_by_version",
    "delete_attempts",
    "doubt_open",
    "doubts",
    "exchange",
    "expire_overdue",
    "find_abandoned",
    "find_doubt",
    "forget_test_addresses",
    "hand_back",
    "has_open",
    "has_untried",
    "in_hand",
    "in_state",
    "let_go",
    "let_wait",
    "mails_of",
    "plan_chunk",
    "presume_sent",
    "problems",
    "put_off",
    "queue_mail",
    "recall",
    "recover_abandoned",
    "requeue",
    "sample_outcome",
    "set_variants",
    "settle_by_evidence",
    "sources",
    "still_past_gate",
    "surely_sent",
    "uncertain",
]
