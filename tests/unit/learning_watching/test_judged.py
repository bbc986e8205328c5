"""Answers judged by late labels are counted by version."""

from hypothesis import given
from hypothesis import strategies as st

from penstock.flow import JudgedAnswers
from penstock.learning.watching.judged import KEPT, JudgedVersions

ANSWERS = st.builds(
    lambda version, wrong, right: JudgedAnswers(version=version, events=wrong + right, right=right),
    st.integers(1, 9),
    st.integers(0, 5),
    st.integers(0, 5),
)


@given(st.lists(st.lists(ANSWERS, max_size=5), max_size=10), st.integers(0, 10))
def test_they_add_up_whatever_the_batches_and_wherever_they_are_restored(
    batches: list[list[JudgedAnswers]], cut: int
) -> None:
    versions = JudgedVersions()
    for number, batch in enumerate(batches):
        if number == cut:
            stored, versions = versions.tensors(), JudgedVersions()
            versions.restore(stored)
        versions.add(batch)
    everything = [one for batch in batches for one in batch]
    assert [one.version for one in versions.by_version()] == sorted({one.version for one in everything})
    for found in versions.by_version():
        own = [one for one in everything if one.version == found.version]
        assert (found.events, found.right) == (sum(one.events for one in own), sum(one.right for one in own))


def test_the_newest_versions_are_kept() -> None:
    versions = JudgedVersions()
    for version in range(1, KEPT + 11):
        versions.add([JudgedAnswers(version=version, events=1, right=1)])
    assert [one.version for one in versions.by_version()] == list(range(11, KEPT + 11))
