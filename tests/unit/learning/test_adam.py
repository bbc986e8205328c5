"""Adam with steps counted by block of rows, and by row of a table."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from penstock.learning.adam import MOST_BLOCKS, DenseAdam
from penstock.learning.betas import SETTLED_STEPS
from penstock.learning.head import LinearHead
from penstock.learning.head_moments import HeadMoments
from penstock.learning.table_adam import TableAdam

CPU = torch.device("cpu")
RATE = 0.01


def head_of(classes: int, width: int = 5) -> LinearHead:
    head = LinearHead(width, CPU)
    head.extend(torch.randn(classes, width + 1))
    return head


def step_head(adam: DenseAdam, head: LinearHead, gradients: torch.Tensor) -> None:
    head.row_gradients[: len(gradients)] = gradients
    adam.follow_head()
    with torch.no_grad():
        adam.step()


def test_parameters_and_first_rows_move_as_with_torchs_adam() -> None:
    head, parameter = head_of(3), nn.Parameter(torch.randn(4, 2))
    ours = DenseAdam([("weight", parameter)], head, RATE)
    theirs = [nn.Parameter(parameter.detach().clone()), nn.Parameter(head.live_rows.clone())]
    reference = torch.optim.Adam(theirs, lr=RATE)
    for _ in range(30):
        gradients = [torch.randn(4, 2), torch.randn(3, 6)]
        parameter.grad = gradients[0].clone()
        step_head(ours, head, gradients[1])
        for mirror, gradient in zip(theirs, gradients, strict=True):
            mirror.grad = gradient
        reference.step()
    assert torch.allclose(parameter, theirs[0], rtol=0, atol=1e-6)
    assert torch.allclose(head.live_rows, theirs[1], rtol=0, atol=1e-6)


@pytest.mark.parametrize("old_steps", [1, 12, 400])
@pytest.mark.parametrize("scale", [1e-5, 1.0, 1e5])
def test_a_new_rows_updates_are_those_of_a_young_adam(old_steps: int, scale: float) -> None:
    head = head_of(10)
    adam = DenseAdam([], head, RATE)
    for _ in range(old_steps):
        step_head(adam, head, torch.randn(10, 6))
    head.extend(torch.zeros(1, 6))
    mirror = nn.Parameter(torch.zeros(1, 6))
    reference = torch.optim.Adam([mirror], lr=RATE)
    for age in range(12):
        before = head.live_rows[10:].clone()
        mirror.grad = scale * torch.randn(1, 6)
        step_head(adam, head, torch.cat((torch.randn(10, 6), mirror.grad)))
        reference.step()
        moved = (head.live_rows[10:] - before).abs().max()
        if age == 0:
            assert moved <= RATE * (1 + 1e-3)
        assert torch.allclose(head.live_rows[10:], mirror, rtol=0, atol=1e-6)


def test_rows_of_very_many_births_move_as_with_an_adam_for_each() -> None:
    head = head_of(1)
    adam = DenseAdam([], head, RATE)
    mirrors = [nn.Parameter(head.live_rows.clone())]
    references = [torch.optim.Adam(mirrors, lr=RATE)]
    for step in range(2 * MOST_BLOCKS + 5):
        if step < 2 * MOST_BLOCKS:
            born = torch.randn(1 + step % 2, 6)
            head.extend(born)
            mirrors.append(nn.Parameter(born.clone()))
            references.append(torch.optim.Adam(mirrors[-1:], lr=RATE))
        gradients = torch.randn(head.num_live, 6)
        step_head(adam, head, gradients)
        theirs = torch.split(gradients, [len(each) for each in mirrors])
        for mirror, gradient in zip(mirrors, theirs, strict=True):
            mirror.grad = gradient
        for reference in references:
            reference.step()
        assert torch.allclose(head.live_rows, torch.cat([*mirrors]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("born", [1, 6, 7, 100])
def test_old_rows_move_to_the_bit_as_if_the_head_had_not_grown(born: int) -> None:
    """Also where growth moves the head to a larger tensor (from 16 rows on)."""
    start = torch.randn(10, 6)
    heads = [LinearHead(5, CPU), LinearHead(5, CPU)]
    adams = []
    for head in heads:
        head.extend(start)
        adams.append(DenseAdam([], head, RATE))
    for step in range(40):
        gradients = torch.randn(10, 6)
        if step == 15:
            heads[1].extend(torch.randn(born, 6))
        for head, adam in zip(heads, adams, strict=True):
            step_head(adam, head, torch.cat((gradients, torch.randn(head.num_live - 10, 6))))
        assert torch.equal(heads[0].live_rows, heads[1].live_rows[:10])


def test_rows_past_the_live_ones_never_move() -> None:
    head = head_of(3)
    adam = DenseAdam([], head, RATE)
    dead = head.rows[3:].clone()
    for _ in range(5):
        step_head(adam, head, torch.randn(3, 6))
    assert torch.equal(head.rows[3:], dead)


def test_a_parameter_without_a_gradient_keeps_still() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    head = head_of(1)
    adam = DenseAdam([("used", used), ("unused", unused)], head, RATE)
    used.grad = torch.ones(2)
    step_head(adam, head, torch.zeros(1, 6))
    assert unused.tolist() == [1, 1]
    assert used.tolist() != [1, 1]


@pytest.mark.parametrize("followed", [0, 3])
def test_rows_born_since_the_last_step_begin_after_a_load_as_without(followed: int) -> None:
    torch.manual_seed(0)
    head = head_of(followed)
    adam = DenseAdam([], head, RATE)
    if followed:
        step_head(adam, head, torch.randn(followed, 6))
    head.extend(torch.randn(2, 6))
    twin = LinearHead(5, CPU)
    twin.extend(head.live_rows)
    loaded = DenseAdam([], twin, RATE)
    loaded.load({name: tensor.numpy().copy() for name, tensor in adam.state().items()})
    gradients = torch.randn(followed + 2, 6)
    step_head(adam, head, gradients)
    step_head(loaded, twin, gradients)
    assert torch.equal(head.rows, twin.rows)


def test_moments_that_were_not_kept_are_zero_again() -> None:
    """A state without them is one in which the parameter had never moved, whatever it was loaded into."""
    head, parameter = head_of(2), nn.Parameter(torch.randn(4, 2))
    adam = DenseAdam([("weight", parameter)], head, RATE)
    adam.follow_head()
    young = {name: tensor.detach().numpy().copy() for name, tensor in adam.state().items()}
    assert not [name for name in young if name.endswith("weight")]
    parameter.grad = torch.randn(4, 2)
    step_head(adam, head, torch.randn(2, 6))
    assert {"first.weight", "second.weight", "steps.weight"} <= adam.state().keys()
    adam.load(young)
    assert adam.state().keys() == young.keys()
    before = parameter.detach().clone()
    step_head(adam, head, torch.randn(2, 6))
    assert (parameter - before).abs().max().item() == pytest.approx(RATE, rel=1e-3)


FEW_BIRTHS = {0: 2, 4: 1, 8: 30}
MANY_BIRTHS = dict.fromkeys(range(MOST_BLOCKS + 10), 1)


@pytest.mark.parametrize(
    ("births", "cut"),
    [(FEW_BIRTHS, cut) for cut in (0, 3, 8, 20)]
    + [(MANY_BIRTHS, cut) for cut in (10, MOST_BLOCKS, MOST_BLOCKS + 1, MOST_BLOCKS + 15)],
)
def test_a_loaded_adam_goes_on_to_the_bit(births: dict[int, int], cut: int) -> None:
    torch.manual_seed(cut)
    gradients = [torch.randn(sum(births.values()), 6) for _ in range(max(births) + 17)]
    head = LinearHead(5, CPU)
    adam = DenseAdam([], head, RATE)
    for step, gradient in enumerate(gradients):
        if step == cut:
            twin = LinearHead(5, CPU)
            twin.extend(head.live_rows)
            loaded = DenseAdam([], twin, RATE)
            loaded.load({name: tensor.numpy().copy() for name, tensor in adam.state().items()})
        if born := births.get(step):
            rows = torch.randn(born, 6)
            head.extend(rows)
            if step >= cut:
                twin.extend(rows)
        step_head(adam, head, gradient[: head.num_live])
        if step >= cut:
            step_head(loaded, twin, gradient[: head.num_live])
    assert torch.equal(head.rows, twin.rows)


def test_blocks_whose_corrections_are_one_are_joined_at_the_next_birth() -> None:
    head = LinearHead(5, CPU)
    moments = HeadMoments(head)
    for steps in (SETTLED_STEPS + 7, SETTLED_STEPS, 5):
        head.extend(torch.randn(2, 6))
        moments.follow()
        moments.steps[-1].fill_(steps)
    before = {name: tensor.clone() for name, tensor in moments.state().items()}
    head.extend(torch.randn(1, 6))
    moments.follow()
    assert [len(rows) for rows in moments.views().rows] == [4, 2, 1]
    assert torch.equal(moments.state()["first"][:6], before["first"])
    assert all(one.data_ptr() < other.data_ptr() for one, other in pairwise(moments.views().rows))


def test_touched_rows_of_a_table_move_as_with_an_adam_of_their_own() -> None:
    table = nn.Parameter(torch.randn(6, 3))
    start = table.detach().clone()
    adam = TableAdam(table, RATE)
    mirrors = [nn.Parameter(start[row : row + 1].clone()) for row in range(6)]
    references = [torch.optim.Adam([mirror], lr=RATE) for mirror in mirrors]
    generator = np.random.default_rng(0)
    for _ in range(40):
        touched = generator.choice(5, size=2, replace=False)
        gradients = torch.randn(2, 3)
        table.grad = torch.sparse_coo_tensor(torch.from_numpy(touched)[None], gradients, (6, 3), check_invariants=True)
        with torch.no_grad():
            adam.step()
        for row, gradient in zip(touched, gradients, strict=True):
            mirrors[row].grad = gradient[None]
            references[row].step()
    expected = torch.cat([mirror.detach() for mirror in mirrors])
    assert torch.allclose(table, expected, rtol=0, atol=1e-6)
    assert torch.equal(table[5], start[5])
