"""How long each kind of data is kept, as the settings say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailer.domain.retention import RULES, BadPeriod, Kind, read_periods
from mailer.settings import BadSetting, load

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def test_every_kind_has_one_rule_and_a_setting_of_its_own() -> None:
    assert [rule.kind for rule in RULES] == list(Kind)
    assert len({rule.setting for rule in RULES}) == len(RULES)


def test_what_is_not_set_has_the_rules_own_days() -> None:
    periods = read_periods({})
    assert {kind.value: period.days for kind, period in periods.items()} == {
        "requests": 7, "unconfirmed": 30, "left": None, "attempts": 90, "feedback": 365,
        "tests": 30, "actions": 1825, "images": 7, "logs": 30, "inbox": 30, "rejects": 30,
        "parts": 1,
    }  # fmt: skip
    assert periods[Kind.ATTEMPTS].before(NOW) == NOW - timedelta(days=90)
    assert periods[Kind.LEFT].before(NOW) is None


def test_days_and_never_are_understood() -> None:
    given = {"MAILER_RETENTION_ATTEMPTS": "14", "MAILER_RETENTION_LOGS": "Never"}
    periods = read_periods({**given, "MAILER_RETENTION_LEFT": "730"})
    days = [periods[kind].days for kind in (Kind.ATTEMPTS, Kind.LOGS, Kind.LEFT)]
    assert days == [14, None, 730]


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "90d", "36501", "off", "９０", "1" * 30])
def test_anything_else_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(BadPeriod, match="a whole number of days from 1 to 36500, or never") as said:
        read_periods({"MAILER_RETENTION_FEEDBACK": text})
    assert str(said.value).startswith("MAILER_RETENTION_FEEDBACK is “")


def test_a_period_that_no_kind_has_is_an_unknown_setting(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="MAILER_RETENTION_COOKIES"):
        load({"MAILER_RETENTION_COOKIES": "3"}, tmp_path)
    with pytest.raises(BadSetting, match="MAILER_RETENTION_LOGS is “soon”"):
        load({"MAILER_RETENTION_LOGS": "soon"}, tmp_path)


def test_the_file_may_say_it_as_a_number(tmp_path: Path) -> None:
    (tmp_path / "mailer.toml").write_text("mailer_retention_inbox = 3\n")
    assert load({}, tmp_path).retention[Kind.INBOX].days == 3
