"""River generators that no reported row uses, with and without changes of meaning."""

from river.datasets import synth

from bench_learning.stream import Stream
from bench_learning.streams.generated import one_after_another, taken

PART_ROWS = 1_500


def stagger_changes(seed: int) -> Stream:
    """STAGGER's three concepts, then the first again."""
    return one_after_another(
        [
            taken(synth.STAGGER(classification_function=function, seed=10 * seed + part), PART_ROWS)
            for part, function in enumerate((0, 1, 2, 0))
        ]
    )


def mixed_flips(seed: int) -> Stream:
    """Mixed, functions 0, 1, 0, 1: every label becomes the other one."""
    return one_after_another(
        [
            taken(synth.Mixed(classification_function=function, seed=10 * seed + part), PART_ROWS)
            for part, function in enumerate((0, 1, 0, 1))
        ]
    )


def agrawal_changes(seed: int) -> Stream:
    """Loan applicants under three rules in turn."""
    return one_after_another(
        [
            taken(synth.Agrawal(classification_function=function, seed=10 * seed + part), 2 * PART_ROWS)
            for part, function in enumerate((0, 2, 6))
        ]
    )


def waves(seed: int) -> Stream:
    """Three classes of noisy waveforms, 21 columns, stationary."""
    return taken(synth.Waveform(seed=seed), 3 * PART_ROWS)


def random_tree(seed: int) -> Stream:
    """Labels by a random decision tree over 6 numbers."""
    generator = synth.RandomTree(
        seed_tree=seed, seed_sample=seed, n_classes=3, n_num_features=6, n_cat_features=0, max_tree_depth=5
    )
    return taken(generator, 3 * PART_ROWS)
