"""What comes back from relays: their logs, and what these say of our mails.

`domain.evidence` says what it proves.
"""

from mailer.inbound.exim_log import EximLog
from mailer.inbound.log_file import CannotReadLog, open_log
from mailer.inbound.log_time import LogClock
from mailer.inbound.postfix_log import PostfixLog
from mailer.inbound.relay_log import NoRelayLog, RelayLogs

__all__ = [
    "CannotReadLog",
    "EximLog",
    "LogClock",
    "NoRelayLog",
    "PostfixLog",
    "RelayLogs",
    "open_log",
]
