"""Which members a proof file has: read strictly, so that nothing in it goes unchecked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Never

from mailer.domain.checkpoints import LARGEST_SIZE
from mailer.domain.errors import Refusal

LARGEST_FILE = 64_000_000
LONGEST_PATH = 64
DEEPEST = 16
"""So deep are objects and lists nested at most."""

_NAME = re.compile(r"[!-~]{1,100}")
_HASH = re.compile(r"[0-9a-f]{64}")
_CHECKSUM = re.compile(r"[0-9a-f]{8}")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", re.ASCII)

Check = Callable[[Any, str], None]


class BadProof(Refusal):
    """A proof file proves nothing: which step found that, and where in the file."""

    def __init__(self, step: str, where: str, reason: str) -> None:
        super().__init__(f"This proves nothing. {where}: {reason}" if where else reason)
        self.step = step
        self.where = where
        self.reason = reason


def read_json(content: bytes) -> dict[str, Any]:
    """Return the object in these bytes; raises BadProof for what is no JSON, or not plain enough.

    Plain: no name twice in an object, names in ASCII, whole numbers that every language reads
    without loss, whole characters.
    """
    if len(content) > LARGEST_FILE:
        raise _no_json(f"it is larger than {LARGEST_FILE // 1_000_000} MB")
    try:
        document = json.loads(
            content.decode("utf-8-sig"),
            object_pairs_hook=_members,
            parse_int=_whole,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
        _check_depth(document)
        json.dumps(document, ensure_ascii=False).encode()  # refuses half a character
    except RecursionError:
        raise _no_json("it is nested too deeply") from None
    except UnicodeError:
        raise _no_json("it is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise _no_json(f"{error.msg}, line {error.lineno}, column {error.colno}") from None
    except ValueError as error:
        raise _no_json(str(error)) from None
    if not isinstance(document, dict):
        raise _no_json("it holds no object")
    return document


def check_shape(document: Mapping[str, Any]) -> None:
    """Raise BadProof, which names the member, unless exactly the members are there that should."""
    _PROOF(document, "")
    if not document["events"]:
        raise BadProof("member", "events", "There is no event.")


def _no_json(why: str) -> BadProof:
    return BadProof("json", "", f"The file is no JSON document of ours: {why}.")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in one object")
    if not all(_NAME.fullmatch(name) for name in members):
        raise ValueError("a name is empty, too long, or not plain ASCII")
    return members


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > LARGEST_SIZE:
        raise ValueError("a number is too large")
    return int(text)


def _refuse_number(text: str) -> Never:
    raise ValueError(f"{text[:20]} is no whole number")


def _check_depth(value: Any, left: int = DEEPEST) -> None:
    if not isinstance(value, dict | list):
        return
    if left == 0:
        raise ValueError("it is nested too deeply")
    for each in value.values() if isinstance(value, dict) else value:
        _check_depth(each, left - 1)


def _bad(where: str, expected: str) -> BadProof:
    return BadProof("member", where, f"This should be {expected}.")


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise _bad(where, "a text")


def _flag(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        raise _bad(where, "true or false")


def _number(value: Any, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _bad(where, "a whole number, 0 or more")


def _form(pattern: re.Pattern[str], words: str) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _bad(where, words)

    return check


def _or_null(check: Check) -> Check:
    def checked(value: Any, where: str) -> None:
        if value is not None:
            check(value, where)

    return checked


def _many(check: Check, most: int | None = None) -> Check:
    def checked(value: Any, where: str) -> None:
        if not isinstance(value, list) or (most is not None and len(value) > most):
            raise _bad(where, f"a list of at most {most}" if most else "a list")
        for place, each in enumerate(value):
            check(each, f"{where}[{place}]")

    return checked


def _object(members: Mapping[str, Check]) -> Check:
    """Return a check for an object with exactly these members."""

    def checked(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _bad(where, "an object")
        inside = f"{where}." if where else ""
        for name, check in members.items():
            if name not in value:
                raise BadProof("member", f"{inside}{name}", "This is missing.")
            check(value[name], f"{inside}{name}")
        for name in value:
            if name not in members:
                raise BadProof("member", f"{inside}{name}", "This does not belong here.")

    return checked


def _map(name_form: re.Pattern[str], check: Check) -> Check:
    """Return a check for an object with any names of a form."""

    def checked(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise _bad(where, "an object")
        for name, each in value.items():
            if not name_form.fullmatch(name):
                raise BadProof("member", f"{where}.{name}", "This does not belong here.")
            check(each, f"{where}.{name}")

    return checked


def _wording(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise _bad(where, "an object")
    _text(value.get("text"), f"{where}.text")


_hash = _form(_HASH, "64 hexadecimal digits in lower case")
_time = _form(_TIME, "a time such as 2026-11-25T07:00:00.000Z")

_LEAF = {
    "v": _number,
    "event_id": _text,
    "at": _time,
    "newsletter": _text,
    "purpose": _text,
    "reader": _number,
    "state": _text,
    "method": _text,
    "basis": _text,
    "notice": _or_null(
        _object({"sha256": _hash, "version": _number, "locale": _text, "assumed": _flag})
    ),
    "commitment": _hash,
    "stated_at": _or_null(_time),
    "valid_until": _or_null(_time),
}


def _event(value: Any, where: str) -> None:
    _object(
        {
            "index": _number,
            "leaf": _object(_LEAF),
            "path": _many(_hash, LONGEST_PATH),
            "commitment_key": _or_null(_hash),
            "personal": _or_null(_map(_NAME, _text)),
            "checksums": _map(_NAME, _form(_CHECKSUM, "8 hexadecimal digits in lower case")),
        }
    )(value, where)
    if value["leaf"]["v"] != 1:
        raise _bad(f"{where}.leaf.v", "1")
    if (value["personal"] is None) != (value["commitment_key"] is None):
        raise _bad(f"{where}.commitment_key", "there with the personal part, and null without it")


_PROOF = _object(
    {
        "format": _text,
        "version": _number,
        "checkpoint": _text,
        "public_key": _text,
        "events": _many(_event),
        "notices": _map(_HASH, _wording),
    }
)
