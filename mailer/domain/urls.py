"""One address per article: what two links to the same page have in common."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from mailer.domain.errors import Refusal


class BadUrl(Refusal):
    """Not an address of a page on the web."""


_TRACKING_PREFIXES = ("utm_", "mc_", "pk_", "mtm_", "hsa_", "ns_")
_TRACKING = frozenset(
    {
        "fbclid", "gclid", "dclid", "msclkid", "yclid", "twclid", "igshid", "igsh", "ncid", "cmp",
        "ocid", "smid", "sref", "ref_src", "cmpid", "at_medium", "at_campaign", "xtor", "_ga",
        "oly_enc_id", "oly_anon_id", "vero_id", "_hsenc", "_hsmi", "wt_mc", "s_cid", "gbraid",
        "wbraid", "gad_source", "li_fat_id", "ttclid", "scclid", "mkt_tok",
    }
)  # fmt: skip
_FEEDS = frozenset({"rss", "rss2", "atom"})
"""A parameter with such a value says that a reader came from a feed, whatever its name is."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical(url: str) -> str:
    """Return the URL without what only tells where a reader came from; raises BadUrl.

    Scheme and host in small letters, no default port, no fragment, no tracking parameters, no
    credentials. Doing it twice changes nothing.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
        parts = urlsplit("")
    if parts.scheme.lower() not in _DEFAULT_PORTS or not host or _has_control(text):
        raise BadUrl(
            f"“{url[:80]}” is no address of a page: it must begin with http:// or https://."
        )
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _DEFAULT_PORTS[parts.scheme.lower()]:
        host = f"{host}:{port}"
    kept = [
        (name, value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
        if not _is_tracking(name) and value.lower() not in _FEEDS
    ]
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._") or "/"
    return urlunsplit((parts.scheme.lower(), host.lower(), path, urlencode(kept), ""))


def is_loopback(host: str) -> bool:
    """Say whether only this machine is reached by that name or address (brackets or not)."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


_NO_PUBLIC_HOSTS = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata answers at 192.0.0.192
        "192.88.99.0/24",  # 6to4 relays, given up (RFC 7526)
        "168.63.129.16/32",  # a cloud's own host, at an address that looks public
        "2001::/23",  # protocol assignments, among them Teredo, which hides IPv4 (RFC 4380)
        "2001:db8::/32",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public_address(text: str) -> bool:
    """Say whether an IP address belongs to the public Internet, whatever it is wrapped in.

    IPv6 is public only as global unicast (RFC 4291 §2.4); IPv4 inside of it (mapped, 6to4, NAT64)
    is judged as IPv4.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and address not in _GLOBAL_UNICAST:
            return False
        address = inner or address
    if any(address.version == net.version and address in net for net in _NO_PUBLIC_HOSTS):
        return False
    return address.is_global and not address.is_multicast


def _is_tracking(name: str) -> bool:
    lowered = name.lower()
    return lowered in _TRACKING or lowered.startswith(_TRACKING_PREFIXES)


def _has_control(text: str) -> bool:
    return any(ord(character) < 33 or ord(character) == 127 for character in text)
