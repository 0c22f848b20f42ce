"""DMARC (RFC 9989): whose policy applies to a domain, and whether a signature goes with it.

RFC 9989 replaces RFC 7489. An organisation's domain is no longer found in the public suffix list,
but by walking up the tree of names; `pct`, `rf` and `ri` are gone, `t`, `np` and `psd` have come.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailer.domain.mail_dns import Judgement, quoted, tags_of

_MOST_QUERIES = 8
_POLICIES = ("none", "quarantine", "reject")
_GONE = ("pct", "rf", "ri")

Tags = dict[str, str]


class Walk:
    """The walk up the tree from a domain (§4.10): what to ask for next, and what came of it."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.lower().rstrip(".")
        self.records: dict[str, Tags] = {}
        """Where a record stands, from the longest name to the shortest."""
        self.crowded: list[str] = []
        """Where several stand, which count as none."""
        self._targets = _targets(self.domain)

    def next(self) -> str | None:
        """Return the name whose TXT records are to be told next; None when the walk is over."""
        if not self._targets or self._public_suffix_said:
            return None
        return f"_dmarc.{self._targets[0]}"

    def tell(self, texts: Sequence[bytes]) -> None:
        """Tell what stands there; an empty sequence where there is nothing."""
        target = self._targets.pop(0)
        found = [tags_of(text) for text in texts if _is_dmarc(text)]
        if len(found) == 1:
            self.records[target] = found[0]
        elif found:
            self.crowded.append(target)

    @property
    def organisation(self) -> str:
        """The organisational domain (§4.10.2)."""
        for name, tags in self.records.items():
            if _psd(tags) == "n":
                return name
            if _psd(tags) == "y" and name != self.domain:
                return ".".join(self.domain.split(".")[-(name.count(".") + 2) :])
        return list(self.records)[-1] if self.records else self.domain

    @property
    def policy(self) -> tuple[str, Tags] | None:
        """Where the record stands that applies to the domain, and its tags (§4.10.1)."""
        if not self.records:
            return None
        suffix = list(self.records)[-1]  # of what stands above the organisation
        for name in (self.domain, self.organisation, suffix):
            if name in self.records:
                return name, self.records[name]
        return None

    @property
    def _public_suffix_said(self) -> bool:
        return any(_psd(tags) in ("y", "n") for tags in self.records.values())


def judge_dmarc(walk: Walk, signer: Walk | None = None) -> Judgement:
    """Judge what receivers find for a domain; with the walk of the domain that we sign for."""
    if walk.crowded and walk.crowded[0] == walk.domain:
        return Judgement(
            False, f"_dmarc.{walk.domain} holds several records, which count as none: leave one."
        )
    if walk.policy is None:
        return Judgement(
            False,
            f"{walk.domain} has no DMARC record, nor has any name above it: publish one to begin "
            f'with, such as _dmarc.{walk.domain}. IN TXT "v=DMARC1; p=none; '
            f'rua=mailto:dmarc@{walk.domain}".',
        )
    where, tags = walk.policy
    if wrong := _wrong_policy(tags):
        return Judgement(
            False,
            f"_dmarc.{where} says {wrong}, which receivers take for no policy: write none, "
            "quarantine or reject.",
        )
    if signer is not None:
        strict = tags.get("adkim", "r").lower() == "s"
        apart = _apart(walk, signer, strict=strict)
        if apart:
            return Judgement(False, apart)
    asked = tags["p"] if where == walk.domain else tags.get("sp", tags["p"])
    remarks = [f"for {walk.domain}, _dmarc.{where} asks receivers for {asked.lower()}"]
    if tags.get("t", "n").lower() == "y":
        remarks.append("only tries it out (t=y)")
    if gone := [name for name in _GONE if name in tags]:
        remarks.append(f"{', '.join(gone)} mean nothing any more (RFC 9989)")
    return Judgement(True, "; ".join(remarks))


def _apart(walk: Walk, signer: Walk, *, strict: bool) -> str | None:
    """Say why the signature does not go with From (§4.4), or return None."""
    if signer.domain == walk.domain:
        return None
    if strict:
        return (
            f"mails are signed for {signer.domain}, and the record of {walk.domain} wants the "
            "very same name (adkim=s): sign for it, or take adkim=s out."
        )
    if signer.organisation != walk.organisation:
        return (
            f"mails are signed for {signer.domain}, which by DNS belongs to "
            f"{signer.organisation}, and {walk.domain} to {walk.organisation}: sign for a name of "
            "the same organisation."
        )
    return None


def _targets(domain: str) -> list[str]:
    """Return the names to ask for: eight at most, however many labels a name has (§4.10)."""
    labels = domain.split(".")
    above = min(len(labels) - 1, _MOST_QUERIES - 1)
    return [domain, *(".".join(labels[-number:]) for number in range(above, 0, -1))]


def _is_dmarc(text: bytes) -> bool:
    """Say whether the text begins with the version, as a record must (§4.7)."""
    name, equals, rest = text.decode("ascii", "replace").partition("=")
    version = rest.partition(";")[0]
    return bool(equals) and name.strip().lower() == "v" and version.strip() == "DMARC1"


def _wrong_policy(tags: Tags) -> str | None:
    """Return what cannot be used: a missing p, or a p, sp or np of no known value (§4.10.1)."""
    if "p" not in tags:
        return "no p="
    for name in ("p", "sp", "np"):
        if name in tags and tags[name].lower() not in _POLICIES:
            return f"{name}={quoted(tags[name])}"
    return None


def _psd(tags: Tags) -> str:
    return tags.get("psd", "u").lower()
