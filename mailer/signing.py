"""From the settings to the signer of our mails: DKIM in this process, where that is wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mailer.rendering import DkimSigner
from mailer.settings import BadSetting, Settings

_DOMAIN = "MAILER_DKIM_DOMAIN"
_RSA = ("MAILER_DKIM_SELECTOR", "MAILER_DKIM_KEY_FILE")
_ED25519 = ("MAILER_DKIM_ED25519_SELECTOR", "MAILER_DKIM_ED25519_KEY_FILE")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOMAIN_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_LONGEST_NAME = 253
_KEY_ADVICE = "see docs/how-to/dkim.md"


def dkim_signer(settings: Settings) -> DkimSigner | None:
    """Return the signer, or None where no key is set; raises BadSetting, naming the setting.

    An RSA key always signs; Ed25519 only besides it, for large receivers do not verify it.
    """
    given = settings.dkim
    if not given:
        return None
    # What DKIM is made of costs every command ten milliseconds: only those who sign pay them.
    from mailer.rendering.dkim_keys import KeyRefused, ed25519_key, rsa_key

    wanted = [(*_RSA, rsa_key)]
    if any(name in given for name in _ED25519):
        wanted.append((*_ED25519, ed25519_key))
    _refuse_half_of_it(settings, [_DOMAIN, *(name for pair in wanted for name in pair[:2])])
    keys = []
    for selector, key_file, read in wanted:
        try:
            keys.append(read(_name(settings, selector, _SELECTOR_NAME), _content(given, key_file)))
        except KeyRefused as refusal:
            raise BadSetting(f"{key_file}: {given[key_file]} {refusal}, {_KEY_ADVICE}.") from None
    if len({key.selector for key in keys}) < len(keys):
        raise BadSetting(
            f"{_ED25519[0]} must differ from {_RSA[0]}: two keys need two names in DNS."
        )
    return DkimSigner(_name(settings, _DOMAIN, _DOMAIN_NAME), tuple(keys))


def dkim_key_files(settings: Settings) -> list[Path]:
    """Return the files that hold our keys."""
    return [Path(settings.dkim[name]) for _, name in (_RSA, _ED25519) if name in settings.dkim]


def _refuse_half_of_it(settings: Settings, names: list[str]) -> None:
    for name in names:
        if name not in settings.dkim:
            others = ", ".join(sorted(settings.dkim))
            raise BadSetting(
                f"{name} is not set, but {others}: set it too, or none of them ({_KEY_ADVICE})."
            )


def _name(settings: Settings, setting: str, form: re.Pattern[str]) -> str:
    text = settings.dkim[setting].strip().rstrip(".").lower()
    if not form.fullmatch(text) or len(text) > _LONGEST_NAME:
        example = "example.org" if setting == _DOMAIN else "mailer1"
        raise BadSetting(
            f"{setting} is “{settings.dkim[setting][:80]}”: write a DNS name, such as {example} "
            "(a name outside ASCII in its xn-- form)."
        )
    return text


def _content(given: Mapping[str, str], setting: str) -> bytes:
    try:
        return Path(given[setting]).read_bytes()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise BadSetting(
            f"{setting}: cannot read {given[setting]} ({said}): mend the path, or give the file "
            "to the user that runs mailer."
        ) from None
