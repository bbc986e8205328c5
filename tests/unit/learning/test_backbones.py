"""Backbones: built in, the operator's own, and those that do not fit."""

import pytest
import torch

from penstock.errors import ConfigurationError
from penstock.learning.backbones import Backbone, MlpBackbone, build_backbone
from penstock.learning.config import BackboneConfig

CPU = torch.device("cpu")
NO_TOKENS = torch.zeros(9, 0, dtype=torch.int32)


def build(config: BackboneConfig, input_width: int = 6, *, seed: int = 0) -> Backbone:
    return build_backbone(config, input_width, seed=seed, device=CPU)


def own(name: str, **options: float) -> BackboneConfig:
    return BackboneConfig(kind=f"backbone_factories:{name}", options=dict(options))


@pytest.mark.parametrize("hidden", [(), (5,), (7, 4, 3)])
def test_the_written_out_gradient_is_that_of_autograd(hidden: tuple[int, ...]) -> None:
    ours, theirs = (build(BackboneConfig(hidden=hidden)) for _ in range(2))
    dense, gradients = torch.randn(9, 6), torch.randn(9, ours.width)
    with torch.no_grad():
        features = ours.forward_to_learn(dense, NO_TOKENS)
        ours.backward(gradients.clone())
    expected = Backbone.forward_to_learn(theirs, dense, NO_TOKENS)
    Backbone.backward(theirs, gradients)
    assert isinstance(ours, MlpBackbone)
    assert torch.allclose(features, expected)
    assert torch.allclose(ours(dense, NO_TOKENS), expected)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, rtol=1e-4, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "config",
    [BackboneConfig(), BackboneConfig(kind="text", embedding_buckets=20), own("with_dropout"), own("seeded_probe")],
)
def test_the_same_seed_gives_the_same_weights_and_leaves_torchs_generator_alone(config: BackboneConfig) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other = build(config, seed=1), build(config, seed=1), build(config, seed=2)
    assert torch.equal(torch.rand(3), expected)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])
    assert any(not torch.equal(tensor, other.state_dict()[name]) for name, tensor in first.state_dict().items())


def test_the_text_backbone_averages_words_and_ignores_padding() -> None:
    backbone = build(BackboneConfig(kind="text", embedding_buckets=20, embedding_width=3, hidden=()), 2)
    table = backbone.state_dict()["table.weight"]
    tokens = torch.tensor([[4, 7, 0, 0], [0, 0, 0, 0]], dtype=torch.int32)
    features = backbone(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), tokens)
    assert backbone.width == 5
    assert torch.allclose(features[0], torch.cat(((table[4] + table[7]) / 2, torch.tensor([1.0, 2.0]))))
    assert features[1].tolist() == [0, 0, 0, 3, 4]


def test_an_operators_options_reach_the_factory_and_its_width_is_found() -> None:
    backbone = build(own("with_dropout", hidden=31, dropout=0.25))
    assert backbone.width == 6
    assert backbone.state_dict()["module.0.weight"].shape == (31, 6)
    assert backbone.mode_matters


def test_a_lazy_module_has_its_parameters_after_building() -> None:
    backbone = build(own("lazy"))
    assert backbone.width == 5
    assert [tuple(parameter.shape) for parameter in backbone.parameters()] == [(5, 6), (5,)]
    features = backbone.forward_to_learn(torch.randn(9, 6), NO_TOKENS)
    backbone.backward(torch.ones_like(features))
    assert all(parameter.grad is not None for parameter in backbone.parameters())


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("no_such_package:make", "cannot be loaded: No module named 'no_such_package'"),
        ("backbone_factories:no_such_name", "cannot be loaded: module 'backbone_factories' has no attribute"),
        ("backbone_factories:no_module", "it returned int, where a torch.nn.Module is needed"),
        ("backbone_factories:fails", "no such file: weights.safetensors"),
        ("backbone_factories:narrow", r"it failed on an input \[2, 6\]"),
        ("backbone_factories:of_lists", "it returns list, where a float32 tensor is needed"),
        ("backbone_factories:flat", r"it returns torch.float32 \[12\]; float32 \[2, H\] is needed"),
        ("backbone_factories:doubles", "its parameter 'weight' is torch.float64; float32 is needed"),
    ],
)
def test_a_factory_that_does_not_fit_is_refused_with_a_sentence(kind: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^model.backbone.kind is '{kind}'.*{sentence}"):
        build(BackboneConfig(kind=kind))


def test_options_the_factory_does_not_know_are_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="unexpected keyword argument 'depth'"):
        build(own("with_dropout", depth=3))
