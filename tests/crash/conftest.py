"""What the crash tests share: a nursery for sender processes, and figures at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from crash.nursery import Nursery, running_nursery


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """A process that forks sender processes."""
    with running_nursery() as nursery:
        yield nursery


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[dict[str, int]], None]:
    """Adds one campaign's figures to the summary of the run."""

    def add(found: dict[str, int]) -> None:
        request.node.user_properties.append(("crash figures", found))

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what the campaigns of this run came to, by module."""
    sums: dict[str, Counter[str]] = {}
    for report in terminalreporter.getreports("passed"):
        for name, found in report.user_properties:
            if name == "crash figures":
                subject = report.nodeid.rpartition("/")[2].partition("::")[0]
                sums.setdefault(subject, Counter()).update({"campaigns": 1, **found})
    for subject, total in sums.items():
        words = ", ".join(f"{number:,} {name}" for name, number in total.items())
        terminalreporter.write_line(f"{subject}: {words}")
