"""Leaves and personal parts by the million, for who imports or checks so many of them.

The same bytes as `mailer.domain.leaves` makes, several times as fast: names and signs are written
out, and only values are spelled. Tests compare them.
"""

from __future__ import annotations

from json.encoder import encode_basestring as quoted

from mailer.domain.leaves import LEAF_VERSION, NoticeRef, hash_of_leaf

_ASSUMED = {False: "false", True: "true"}


def quoted_notice(notice: NoticeRef) -> str:
    """Return the JSON of the wording that a leaf names; it is the same for many leaves."""
    return (
        f'{{"assumed":{_ASSUMED[notice.assumed]},"locale":{quoted(notice.locale)},'
        f'"sha256":{quoted(notice.sha256)},"version":{notice.version:d}}}'
    )


def leaf_hash(
    event_id: str,
    at: str,
    newsletter: str,
    purpose: str,
    reader: int,
    state: str,
    method: str,
    basis: str,
    notice: str,
    commitment: bytes,
    stated_at: str | None,
    valid_until: str | None,
) -> bytes:
    """Return the hash of a leaf; moments as `instant` writes them, the notice as JSON or `null`.

    What is no value of a leaf (a damaged row may hold anything) raises TypeError or ValueError.
    """
    text = (
        f'{{"at":{quoted(at)},"basis":{quoted(basis)},"commitment":"{commitment.hex()}",'
        f'"event_id":{quoted(event_id)},"method":{quoted(method)},'
        f'"newsletter":{quoted(newsletter)},"notice":{notice},"purpose":{quoted(purpose)},'
        f'"reader":{reader:d},"state":{quoted(state)},"stated_at":{_or_null(stated_at)},'
        f'"v":{LEAF_VERSION},"valid_until":{_or_null(valid_until)}}}'
    )
    return hash_of_leaf(text.encode("utf-8", "surrogateescape"))


def _or_null(moment: str | None) -> str:
    return "null" if moment is None else quoted(moment)


class LeafSpelling:
    """Spells the leaves of one moment that say the same; moments are as `instant` writes them."""

    def __init__(
        self,
        at: str,
        newsletter: str,
        purpose: str,
        state: str,
        method: str,
        basis: str,
        notice: str,
    ) -> None:
        self._begin = f'{{"at":{quoted(at)},"basis":{quoted(basis)},"commitment":"'
        self._middle = (
            f',"method":{quoted(method)},"newsletter":{quoted(newsletter)},"notice":{notice},'
            f'"purpose":{quoted(purpose)},"reader":'
        )
        self._state = f',"state":{quoted(state)},"stated_at":'
        self._end = f',"v":{LEAF_VERSION},"valid_until":'

    def hash(
        self,
        event_id: str,
        reader: int,
        commitment: bytes,
        stated_at: str | None,
        valid_until: str | None,
    ) -> bytes:
        """Return the hash of the leaf."""
        return hash_of_leaf(
            f'{self._begin}{commitment.hex()}","event_id":{quoted(event_id)}{self._middle}{reader}'
            f"{self._state}{_or_null(stated_at)}{self._end}{_or_null(valid_until)}}}".encode()
        )


class PersonalSpelling:
    """Spells the personal parts of an import's events, which differ in address and line alone."""

    def __init__(self, source: str, file_name: str) -> None:
        words = quoted(f"{source} ({file_name}, line ")[:-1]
        self._middle = f',"confirmation_message_id":"","ip":"","page_url":"","source":{words}'
        self._end = ')","user_agent":""}'

    def spell(self, address: str, line: int) -> bytes:
        """Return the canonical JSON of the personal part."""
        return (f'{{"address":{quoted(address)}{self._middle}{line}{self._end}').encode()
