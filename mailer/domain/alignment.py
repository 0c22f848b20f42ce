"""Whether a signature speaks for the sender that a reader sees (DMARC's alignment)."""

from __future__ import annotations

from enum import StrEnum


class Alignment(StrEnum):
    """What can be told of two domains by their names alone."""

    ALIGNED = "aligned"
    SIBLINGS = "siblings"  # aligned if what stands above both is one organisation's
    APART = "apart"


def alignment(sender: str, signer: str) -> Alignment:
    """Compare the domain of From with that of a signature (`d=`), in their ASCII forms.

    Relaxed alignment wants one organisational domain for both (RFC 7489 §3.1.1, now RFC 9989).
    Where one is the other or stands below it, that is so; whose that is which stands above two
    siblings, only DNS can say.
    """
    ours, theirs = sender.lower().split("."), signer.lower().split(".")
    shared = 0
    while shared < min(len(ours), len(theirs)) and ours[-1 - shared] == theirs[-1 - shared]:
        shared += 1
    if shared == min(len(ours), len(theirs)):
        return Alignment.ALIGNED
    return Alignment.SIBLINGS if shared >= 2 else Alignment.APART
