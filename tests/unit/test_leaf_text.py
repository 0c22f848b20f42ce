"""A leaf's hash by the fast ways is the one by the plain way."""

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from mailer.domain.leaf_text import LeafSpelling, leaf_hash, quoted_notice
from mailer.domain.leaves import Leaf, NoticeRef, instant

MOMENTS = st.datetimes(timezones=st.just(UTC))
TEXTS = st.text(st.characters(codec="utf-8"))
NOTICES = st.builds(NoticeRef, TEXTS, st.integers(0, 2**53), TEXTS, st.booleans())


@given(
    st.builds(
        Leaf, TEXTS, MOMENTS, TEXTS, TEXTS, st.integers(0, 2**53), TEXTS, TEXTS, TEXTS,
        st.none() | NOTICES, st.binary(), st.none() | MOMENTS, st.none() | MOMENTS,
    )
)  # fmt: skip
def test_all_ways_come_to_the_same_hash(leaf: Leaf) -> None:
    notice = quoted_notice(leaf.notice) if leaf.notice else "null"
    found = leaf_hash(
        leaf.event_id, instant(leaf.at), leaf.newsletter, leaf.purpose, leaf.reader, leaf.state,
        leaf.method, leaf.basis, notice, leaf.commitment,
        leaf.stated_at and instant(leaf.stated_at), leaf.valid_until and instant(leaf.valid_until),
    )  # fmt: skip
    alike = LeafSpelling(
        instant(leaf.at), leaf.newsletter, leaf.purpose, leaf.state, leaf.method, leaf.basis, notice
    )
    spelled = alike.hash(
        leaf.event_id, leaf.reader, leaf.commitment, leaf.stated_at and instant(leaf.stated_at),
        leaf.valid_until and instant(leaf.valid_until),
    )  # fmt: skip
    assert found == spelled == leaf.hash
