"""What is asked of classes is carried out at its place among the events, or changes nothing and says why."""

import pytest

from controlled_streams import Told, every, points, state_of
from penstock.flow import ClassRequest, Control


def test_a_retired_class_is_never_answered_again_and_its_events_are_passed_over() -> None:
    told = Told()
    told.events(every(range(4), 40), seed=1)
    told.classes("hibernate", "c1")
    assert told.classes("retire", "c0", "c1").classes == ("c0", "c1")
    assert told.capture()[0].packets == {}
    learnt = told.learner.events_learnt
    (report,) = told.events([0, 2, 1, 3, 0, 7], seed=2)
    assert (report.passed_over, report.num_events) == (3, 3)
    assert report.events_by_class == {"c2": 1, "c3": 1, "c7": 1}
    assert report.scored_rows.tolist() == [1, 3, 5]
    assert told.learner.events_learnt == learnt + 3
    assert told.learner.class_names[-1] == "c7", "indices are not used again"
    assert (told.answers([0, 1, 2])[:, [told.learner.class_names.index(n) for n in ("c0", "c1")]] == 0).all()
    assert told.restarted().classes("retire", "c0").result == "unchanged"


@pytest.mark.parametrize(
    ("verb", "names", "sentence"),
    [
        ("hibernate", ("c0", "c11"), "There is no class 'c11'; did you mean 'c1'?"),
        ("wake", ("nothing like it",), "There is no class 'nothing like it'; the model has learnt no event of it."),
        ("wake", ("c2",), "Class 'c2' is retired, which is for good; it cannot wake."),
        ("hibernate", ("c0", "c1"), "To hibernate 'c0', 'c1' would leave no class live."),
        ("retire", ("c1", "c0"), "To retire 'c1', 'c0' would leave no class live."),
    ],
)
def test_what_cannot_be_done_changes_nothing_and_says_why(verb: str, names: tuple[str, ...], sentence: str) -> None:
    told = Told()
    told.events(every(range(3), 10), seed=1)
    told.classes("retire", "c2")
    before = state_of(told)
    outcome = told.classes(verb, *names)  # type: ignore[arg-type]  # one of the verbs
    assert (outcome.result, outcome.classes) == ("refused", ())
    assert outcome.sentence.startswith(sentence)
    after = state_of(told)
    assert {name for name in after if after[name] != before[name]} == set()


def test_a_tenants_sleep_takes_the_classes_that_it_alone_has_used() -> None:
    told = Told()
    told.events(every([0, 1], 10), seed=1, tenant="t")
    told.events(every([2, 3], 10), seed=2)
    told.events([1], seed=3, tenant="u")
    assert told.classes("hibernate", tenant="t").classes == ("c0",)
    assert told.classes("hibernate", tenant="t").result == "unchanged"
    refused = told.classes("hibernate", tenant="u")
    assert (refused.result, refused.sentence) == (
        "refused",
        "There is no class to hibernate that only the tenant 'u' has used.",
    )
    told.events([2, 3], seed=4)
    assert told.restarted().classes("wake", tenant="t").classes == ("c0",)
    assert told.classes("retire", tenant="t").classes == ("c0",)


def test_controls_in_the_middle_of_a_batch_are_carried_out_at_their_places() -> None:
    def learnt(cut: bool) -> Told:
        told = Told()
        told.events(every(range(4), 20), seed=1)
        labels = [1, 2, 1, 2, 3, 1, 2, 3]
        features = points(labels, seed=2)
        requests = [ClassRequest(verb="hibernate", classes=("c0",)), ClassRequest(verb="wake", classes=("c0",))]
        if not cut:
            controls = [
                Control(at=at, partition=0, offset=900 + at, row=0, request=request)
                for at, request in zip((3, 6), requests, strict=True)
            ]
            told.learner.learn(told.batch(features, labels, controls=controls))
            return told
        for start, stop, request in ((0, 3, requests[0]), (3, 6, requests[1]), (6, 8, None)):
            rows = {name: values[start:stop] for name, values in features.items()}
            batch = told.batch(rows, labels[start:stop])
            told.learner.learn(batch)
            if request is not None:
                told.learner.learn(
                    told.batch(
                        points([], seed=0),
                        [],
                        controls=[Control(at=0, partition=0, offset=900, row=0, request=request)],
                    )
                )
        return told

    one, other = learnt(cut=False), learnt(cut=True)
    assert one.capture()[1].sha256 == other.capture()[1].sha256
