"""Asking DNS for TXT records, for a few seconds in all."""

from __future__ import annotations

import time

from dns.exception import DNSException, Timeout
from dns.resolver import NXDOMAIN, NoAnswer, NoNameservers, NoResolverConfiguration, Resolver

_ONE_TRY_SECONDS = 1.0


class Unanswered(Exception):
    """DNS could not be asked; the message says why. That is no answer, and no fault of a domain."""


def system_resolver() -> Resolver:
    """Return what this machine asks; raises Unanswered where it has nobody to ask."""
    try:
        return Resolver()
    except NoResolverConfiguration:
        raise Unanswered("this machine has no name server") from None


class Lookup:
    """Asks until its time is over, however many names there are."""

    def __init__(self, resolver: Resolver, seconds: float) -> None:
        self._resolver = resolver
        self._resolver.timeout = _ONE_TRY_SECONDS
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def texts(self, name: str) -> list[bytes]:
        """Return the texts of a name's TXT records, the strings of each joined (RFC 7208 §3.3).

        Empty where there is nothing; raises Unanswered where nobody can tell.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise Unanswered(self._too_slow)
        try:
            answer = self._resolver.resolve(name, "TXT", search=False, lifetime=left)
        except (NXDOMAIN, NoAnswer):
            return []
        except Timeout:
            raise Unanswered(self._too_slow) from None
        except NoNameservers:
            raise Unanswered(f"no name server could tell of {name}") from None
        except (DNSException, OSError) as error:
            raise Unanswered(str(error).splitlines()[0] if str(error) else repr(error)) from None
        return [b"".join(record.strings) for record in answer]

    @property
    def _too_slow(self) -> str:
        return f"no answer within {self._seconds:g} seconds"
