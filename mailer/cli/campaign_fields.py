"""How a campaign's report reads as one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def campaign_sentence(report: Mapping[str, Any]) -> str:
    """Return the state and the counts that are not zero."""
    counts = ", ".join(f"{count} {state}" for state, count in report["counts"].items() if count)
    audience = report["audience"]
    reach = f" to {audience} readers" if isinstance(audience, int) and audience else ""
    return (
        f"Campaign {report['campaign_id']} “{report['subject']}”{reach} is {report['state']}"
        f"{f': {counts}' if counts else ''}."
    )
