"""Two DKIM verifiers that are not ours, with public keys from a dict instead of from DNS."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import dkim
import pytest

Records = Mapping[str, str]
"""DNS names (without a dot at the end) and the texts there."""


def records_of(lines: Sequence[str]) -> dict[str, str]:
    """Return the records that lines of a zone file publish."""
    published = {}
    for line in lines:
        name, internet, kind, text = line.split(" ", 3)
        assert (internet, kind) == ("IN", "TXT")
        strings = re.findall(r'"([^"]*)"', text)
        assert all(len(string) <= 255 for string in strings)
        published[name.removesuffix(".")] = "".join(strings)
    return published


def dkimpy_verdicts(message: bytes, records: Records) -> list[bool]:
    """Say of each signature, in the message's order, whether dkimpy verifies it."""

    def text_of(name: bytes, timeout: int = 5) -> bytes:
        return records.get(name.decode().removesuffix("."), "").encode()

    number = len(re.findall(rb"(?mi)^DKIM-Signature:", message.partition(b"\r\n\r\n")[0]))
    verdicts = []
    for index in range(number):
        try:
            verdicts.append(dkim.DKIM(message).verify(index, dnsfunc=text_of))
        except dkim.DKIMException:
            verdicts.append(False)
    return verdicts


_SET, _QUERY_METHOD, _QUERY_INFO, _FROM_FILE = 1, 6, 7, 1  # dkim.h
_PASSED, _BODY_MATCHES = 0x04, 0
_HANDLE = ctypes.c_void_p


@cache
def _opendkim() -> ctypes.CDLL | None:
    """OpenDKIM's library: its tools can ask nobody but DNS, the library reads a file, too."""
    found = ctypes.util.find_library("opendkim")
    if found is None:
        return None
    library = ctypes.CDLL(found)
    for name in ("dkim_init", "dkim_verify"):
        getattr(library, name).restype = _HANDLE
    return library


def opendkim_verdicts(message: bytes, records: Records, scratch: Path) -> list[bool]:
    """Say of each signature whether OpenDKIM verifies it; skips where there is no OpenDKIM."""
    library = _opendkim()
    if library is None:
        pytest.skip("no libopendkim on this machine: `make system` installs it when root")
    keys = scratch / "public-keys"
    keys.write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    handle = _HANDLE(library.dkim_init(None, None))
    method, path = ctypes.c_int(_FROM_FILE), ctypes.create_string_buffer(bytes(keys))
    assert not library.dkim_options(
        handle, _SET, _QUERY_METHOD, ctypes.byref(method), ctypes.c_size_t(4)
    )
    assert not library.dkim_options(
        handle, _SET, _QUERY_INFO, path, ctypes.c_size_t(len(bytes(keys)))
    )
    try:
        return _verified(library, handle, message)
    finally:
        library.dkim_close(handle)


def _verified(library: ctypes.CDLL, handle: ctypes.c_void_p, message: bytes) -> list[bool]:
    status = ctypes.c_int()
    read = _HANDLE(library.dkim_verify(handle, b"test", None, ctypes.byref(status)))
    assert read.value
    header, _, body = message.partition(b"\r\n\r\n")
    for field in re.split(rb"\r\n(?![ \t])", header):
        assert not library.dkim_header(read, field, ctypes.c_size_t(len(field)))
    library.dkim_eoh(read)
    library.dkim_body(read, body, ctypes.c_size_t(len(body)))
    library.dkim_eom(read, None)
    signatures, number = ctypes.POINTER(_HANDLE)(), ctypes.c_int()
    library.dkim_getsiglist(read, ctypes.byref(signatures), ctypes.byref(number))
    verdicts = []
    for index in range(number.value):
        signature = _HANDLE(signatures[index])
        library.dkim_sig_process(read, signature)
        passed = library.dkim_sig_getflags(signature) & _PASSED
        verdicts.append(bool(passed) and library.dkim_sig_getbh(signature) == _BODY_MATCHES)
    library.dkim_free(read)
    return verdicts
