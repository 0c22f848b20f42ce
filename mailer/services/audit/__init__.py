"""The audit: does everything that consent rests on still hold, row by row?

walk          reads page after page, and has each looked at
events        columns against leaves, wordings, places in the log
evidence      the sealed personal part against what the event commits to
projection    what the events come to against the subscriptions
deliveries    every mail handed over against the consent at that time
notices       wordings against their hashes
tree          places, tiles and roots against the leaves
order         places against the times that their events name
checkpoints   what was signed, here and in the witness folder, against the roots
"""

from mailer.services.audit.findings import Finding, Kind
from mailer.services.audit.walk import Audit

__all__ = ["Audit", "Finding", "Kind"]
