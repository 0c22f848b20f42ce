"""A name server on loopback for the tests: it knows TXT records, and how to be of no help."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
from dns.rdtypes.ANY.TXT import TXT
from dns.resolver import Resolver

Zone = Mapping[str, Sequence[bytes | Sequence[bytes]] | None]
"""Name → its TXT records, each one text or its strings; None: the server fails."""

_LARGEST_UDP = 512


@contextmanager
def running_dns(zone: Zone) -> Iterator[Resolver]:
    """Serve the zone on a free loopback port; yields a resolver that asks nobody else."""
    udp, tcp = _on_one_port()
    with udp, tcp:
        for server in (udp, tcp):
            server.zone = zone  # type: ignore[attr-defined]
            threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield resolver_at(udp.server_address[1])
        finally:
            udp.shutdown()
            tcp.shutdown()


def _on_one_port() -> tuple[socketserver.UDPServer, socketserver.TCPServer]:
    """Return both servers on a port that is free for both: one that is for UDP is often not."""
    while True:
        udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Datagram)
        try:
            return udp, socketserver.ThreadingTCPServer(udp.server_address, _Stream)
        except OSError:
            udp.server_close()


@contextmanager
def silent_dns() -> Iterator[Resolver]:
    """Yield a resolver whose server takes every question and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield resolver_at(silent.getsockname()[1])


def resolver_at(port: int) -> Resolver:
    """Return a resolver that asks this loopback port."""
    resolver = Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port
    return resolver


class _Datagram(socketserver.DatagramRequestHandler):
    def handle(self) -> None:
        question = dns.message.from_wire(self.rfile.read())
        wire = _answer(self.server.zone, question).to_wire(max_size=65_535)  # type: ignore[attr-defined]
        if len(wire) > _LARGEST_UDP:
            short = dns.message.make_response(question)
            short.flags |= dns.flags.TC  # ask again over TCP
            wire = short.to_wire()
        self.wfile.write(wire)


class _Stream(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        (length,) = struct.unpack("!H", self.rfile.read(2))
        question = dns.message.from_wire(self.rfile.read(length))
        wire = _answer(self.server.zone, question).to_wire(max_size=65_535)  # type: ignore[attr-defined]
        self.wfile.write(struct.pack("!H", len(wire)) + wire)


def _answer(zone: Zone, question: dns.message.Message) -> dns.message.Message:
    response = dns.message.make_response(question)
    response.flags |= dns.flags.RA
    asked = question.question[0]
    name = asked.name.to_text(omit_final_dot=True).lower()
    records = zone.get(name, ())
    if records is None:
        response.set_rcode(dns.rcode.SERVFAIL)
    elif records and asked.rdtype is dns.rdatatype.TXT:
        found = response.find_rrset(
            response.answer, asked.name, asked.rdclass, asked.rdtype, create=True
        )
        for record in records:
            strings = [record] if isinstance(record, bytes) else list(record)
            found.add(TXT(asked.rdclass, asked.rdtype, strings), ttl=60)
    elif not any(known == name or known.endswith(f".{name}") for known in zone):
        response.set_rcode(dns.rcode.NXDOMAIN)
    return response
