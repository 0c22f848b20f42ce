"""What hands a message to a relay.

A `Transport` opens connections; a `Connection` is offered an envelope, and only when the relay is
ready for content (354) and the ledger's gate has opened is it given the message. `smtp` speaks to
relays, `capture` is the built-in inbox, `memory` is the double for tests.
"""

from mailer.transports.base import (
    Accepted,
    ConnectFailed,
    Connection,
    Envelope,
    HandedOver,
    Lost,
    Offered,
    Ready,
    Refused,
    Transport,
    Unknown,
)

__all__ = [
    "Accepted",
    "ConnectFailed",
    "Connection",
    "Envelope",
    "HandedOver",
    "Lost",
    "Offered",
    "Ready",
    "Refused",
    "Transport",
    "Unknown",
]
