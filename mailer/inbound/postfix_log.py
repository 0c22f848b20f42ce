"""Postfix's log: what of our mails was queued, refused, cut off, or only begun.

The line of `cleanup` with the Message-ID proves nothing: it is also written for a mail that is
refused afterwards, and for one whose sender hung up before the final dot. What proves acceptance is
that the queue manager takes it up: `(queue active)`. A client that hung up too early is known by
`smtpd` alone, by its process; that line may stand before cleanup's.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Generic, TypeVar

from mailer.domain.evidence import Said
from mailer.inbound.relay_log import Heard

_LINE = re.compile(
    rb"(?:<\d{1,3}>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.+Z-]{8,24}) "
    rb"(\S{1,255}) ([\w.+-]{1,64})/(?:([\w.+/-]{1,128})/)?"
    rb"([a-z-]{1,32})\[(\d{1,10})\]: ([^\r\n]*)"
)
_QUEUE_ID = rb"([0-9A-Za-z]{6,32}): "
_BEGINS = re.compile(_QUEUE_ID + rb"client=")
_MESSAGE_ID = re.compile(_QUEUE_ID + rb"message-id=<([^<>@]{1,128})@")
_OTHER_MESSAGE_ID = re.compile(_QUEUE_ID + rb"message-id=")
_ACTIVE = re.compile(_QUEUE_ID + rb"from=<.*>, size=\d+, nrcpt=\d+ \(queue active\)")
_REFUSED = re.compile(_QUEUE_ID + rb"(?:milter-)?reject: ")
_CUT_OFF = re.compile(rb"(?:lost connection|timeout) after DATA\b")

_DAEMONS = frozenset(
    b"smtpd cleanup qmgr nqmgr pickup smtp lmtp local virtual pipe bounce anvil scache error "
    b"discard master postscreen tlsproxy dnsblog verify proxymap tlsmgr trivial-rewrite "
    b"postfix-script postlogd postqueue postsuper".split()
)
_MOST = 20_000  # of whatever is kept in mind

Where = tuple[bytes, bytes]
"""A host, and the instance of Postfix there: queue ids are theirs."""
K = TypeVar("K")
V = TypeVar("V")


class _Recent(OrderedDict[K, V], Generic[K, V]):
    """The last things noted, so that no log can fill the memory."""

    def note(self, key: K, value: V) -> None:
        """Keep it, and forget the oldest when there are too many."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > _MOST:
            self.popitem(last=False)


class PostfixLog:
    """Follows queue ids through the lines, from `client=` to `(queue active)`."""

    name = "Postfix"

    def __init__(self) -> None:
        self._of_client: _Recent[tuple[Where, bytes, bytes], bytes] = _Recent()
        self._mails: _Recent[tuple[Where, bytes], bytes] = _Recent()
        self._cut_off: _Recent[tuple[Where, bytes], None] = _Recent()

    def stamp(self, line: bytes) -> bytes | None:
        """Return the line's time, if it is a line of Postfix."""
        found = _LINE.match(line)
        return found.group(1) if found and found.group(5) in _DAEMONS else None

    def hear(self, line: bytes) -> Heard | None:
        """Return what the line says of a mail, which it names by what stands before the @."""
        if not (  # most lines are of no interest, and are passed over quickly
            b": message-id=" in line
            or b"(queue active)" in line
            or b": client=" in line
            or b" after DATA" in line
            or b"reject: " in line
        ):
            return None
        found = _LINE.match(line)
        if found is None:
            return None
        _, host, instance, service, process, pid, text = found.groups()
        where = (host, instance)
        match process:
            case b"smtpd":
                return self._smtpd(where, (where, service or b"", pid), text)
            case b"cleanup":
                return self._cleanup(where, text)
            case b"qmgr" | b"nqmgr":
                return self._tell(where, _ACTIVE.match(text), Said.ACCEPTED)
        return None

    def _smtpd(self, where: Where, client: tuple[Where, bytes, bytes], text: bytes) -> Heard | None:
        if found := _BEGINS.match(text):
            queue_id = found.group(1)
            self._mails.pop((where, queue_id), None)  # the id is used again
            self._cut_off.pop((where, queue_id), None)
            self._of_client.note(client, queue_id)
            return None
        if not _CUT_OFF.match(text):
            return self._tell(where, _REFUSED.match(text), Said.NOT_ACCEPTED)
        cut_off = self._of_client.pop(client, None)
        if cut_off is None:
            return None
        self._cut_off.note((where, cut_off), None)
        return self._known(where, cut_off, Said.NOT_ACCEPTED)

    def _cleanup(self, where: Where, text: bytes) -> Heard | None:
        if found := _MESSAGE_ID.match(text):
            queue_id, name = found.groups()
            self._mails.note((where, queue_id), name)
            said = Said.NOT_ACCEPTED if (where, queue_id) in self._cut_off else Said.SEEN
            return Heard(name, queue_id, said)
        if found := _OTHER_MESSAGE_ID.match(text):
            self._mails.pop((where, found.group(1)), None)
            return None
        return self._tell(where, _REFUSED.match(text), Said.NOT_ACCEPTED)

    def _tell(self, where: Where, found: re.Match[bytes] | None, said: Said) -> Heard | None:
        return self._known(where, found.group(1), said) if found else None

    def _known(self, where: Where, queue_id: bytes, said: Said) -> Heard | None:
        name = self._mails.get((where, queue_id))
        return Heard(name, queue_id, said) if name is not None else None
