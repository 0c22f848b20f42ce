"""A relay for the tests, on loopback: it fails where its script says, and its file is the truth.

What became of every content stands, fsynced, in a file of JSON lines before its answer goes out:
`began` (the first byte after 354), then `accepted`, `refused` for good, or `dropped` (the
connection closed after the final dot without a word, whether it was accepted or not). As a program
of its own (`running_sink`) it prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailer.embedded.leash import leashed

DROP = "drop"  # close the connection instead of answering
DROP_AFTER_DOT = "drop-after-dot"  # take the message, then close without a word

Trouble = Callable[[str, str], str | None]
"""(stage, line) → a reply such as `450 4.2.1 busy`, DROP, DROP_AFTER_DOT, or None."""


def no_trouble(_stage: str, _line: str) -> str | None:
    """Take everything."""
    return None


def seeded(seed: int, share: float) -> Trouble:
    """Return trouble at random, the same for the same seed and order of events."""
    dice = random.Random(seed)
    kinds = {
        "RCPT": ["450 4.2.1 busy", DROP],
        "DOT": ["451 4.3.0 later", "554 5.6.0 not this one", DROP, DROP_AFTER_DOT],
    }

    def trouble(stage: str, _line: str) -> str | None:
        if stage in kinds and dice.random() < share:
            return dice.choice(kinds[stage])
        return None

    return trouble


@dataclass
class Sink:
    """One listening relay."""

    file: Path
    trouble: Trouble = no_trouble
    extensions: tuple[str, ...] = ("PIPELINING", "SIZE 10000000", "8BITMIME", "SMTPUTF8")
    tls: ssl.SSLContext | None = None
    pause: float = 0.0  # seconds before every answer to a final dot
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    port: int = 0

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""

        async def say(text: str) -> None:
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        async def goes_wrong(stage: str, line: str) -> bool:
            answer = self.trouble(stage, line)
            if answer == DROP:
                raise ConnectionError
            if answer:
                await say(answer)
            return answer is not None

        if await goes_wrong("CONNECT", ""):
            return
        await say("220 sink")
        while line := (await reader.readline()).decode("utf-8", "replace").rstrip("\r\n"):
            verb = re.split(r"[ :]", line, maxsplit=1)[0].upper()
            self.commands.append(line)
            if await goes_wrong(verb, line):
                continue
            match verb:
                case "EHLO":
                    lines = ["sink", *self.extensions]
                    for extension in lines[:-1]:
                        await say(f"250-{extension}")
                    await say(f"250 {lines[-1]}")
                case "RCPT":
                    recipient = line.partition("<")[2].partition(">")[0]
                    await say("250 2.1.5 ok")
                case "DATA":
                    if not recipient:
                        await say("503 5.5.1 no recipient")
                        continue
                    await say("354 go on")
                    raw = await reader.readexactly(1)
                    self._note("began", recipient)
                    raw += await reader.readuntil(b"\r\n.\r\n")
                    answer = self.trouble("DOT", recipient)
                    if answer in (None, DROP_AFTER_DOT):
                        self._note("accepted", recipient, raw)
                    if answer in (DROP, DROP_AFTER_DOT):
                        self._note("dropped", recipient, raw)
                        return
                    if answer and answer.startswith("5"):
                        self._note("refused", recipient, raw)
                    await asyncio.sleep(self.pause)
                    await say(answer or "250 2.0.0 Ok: queued as SINK1")
                    recipient = ""
                case "RSET" | "MAIL":
                    recipient = ""
                    await say("250 2.0.0 ok")
                case "QUIT":
                    await say("221 2.0.0 bye")
                    return
                case "STARTTLS" if self.tls:
                    await say("220 2.0.0 go on")
                    await writer.start_tls(self.tls)
                case "AUTH":
                    await say("235 2.7.0 welcome")
                case _:
                    await say("502 5.5.1 what")

    def _note(self, what: str, recipient: str, raw: bytes = b"") -> None:
        found = re.search(rb"(?m)^X-Mailer-Delivery: (\S+)", raw)
        name = found.group(1).decode() if found else ""
        entry = {"what": what, "to": recipient, "delivery": name, "at": time.monotonic()}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
            file.flush()
            if what != "began":
                os.fsync(file.fileno())


@contextmanager
def sink_in_a_thread(sink: Sink) -> Iterator[int]:
    """Run a sink beside the test, in its own process; yields the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(sink.start(), loop).result()
    try:
        yield sink.port
    finally:
        asyncio.run_coroutine_threadsafe(sink.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def running_sink(
    file: Path, *, seed: int = 0, trouble: float = 0.0, pause: float = 0.0
) -> Iterator[int]:
    """Run a sink in a process of its own, that `file` outlives; yields its port."""
    sink = subprocess.Popen(
        [sys.executable, __file__, "--file", str(file), "--seed", str(seed),
         "--trouble", str(trouble), "--pause", str(pause)],
        stdout=subprocess.PIPE, text=True, preexec_fn=leashed(signal.SIGTERM),
    )  # fmt: skip
    assert sink.stdout
    try:
        yield int(sink.stdout.readline())
    finally:
        sink.terminate()
        sink.communicate()


def noted(file: Path, what: str) -> list[dict[str, Any]]:
    """Return the entries of one kind in a sink's file, in their order."""
    whole = file.read_text("utf-8").rpartition("\n")[0] if file.exists() else ""
    return [entry for entry in map(json.loads, whole.splitlines()) if entry["what"] == what]


def accepted_by(file: Path) -> Counter[str]:
    """Return how often each address was accepted, by a sink's file."""
    return Counter(entry["to"] for entry in noted(file, "accepted"))


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trouble", type=float, default=0.0)
    parser.add_argument("--pause", type=float, default=0.0)
    arguments = parser.parse_args()
    trouble = seeded(arguments.seed, arguments.trouble)
    sink = Sink(arguments.file, trouble, pause=arguments.pause)
    await sink.start()
    print(sink.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
