"""The part between the encoded row and the head: what turns [n, D] into features [n, H]."""

from collections.abc import Iterator
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from penstock.flow import Json
from penstock.learning.config import BackboneConfig
from penstock.learning.operator_module import operator_module


class Backbone(nn.Module):
    """A torch module `(dense [n, D], tokens [n, T]) → [n, width]`.

    `mode_matters` says that it may behave otherwise in training (dropout, batch statistics) or draw random numbers.
    """

    width: int
    mode_matters: bool = False
    _learnt_features: Tensor

    def forward_to_learn(self, dense: Tensor, tokens: Tensor) -> Tensor:
        """The same features, detached; what `backward` needs is kept until then."""
        self.zero_grad()
        with torch.enable_grad():
            self._learnt_features = self(dense, tokens)
        return self._learnt_features.detach()

    def backward(self, feature_gradients: Tensor) -> None:
        """Leave the loss's gradient in `.grad` of every parameter that the last `forward_to_learn` used.

        `feature_gradients` [n, width] may be overwritten.
        """
        if self._learnt_features.requires_grad:
            torch.autograd.backward(self._learnt_features, feature_gradients)
        del self._learnt_features

    def squared_gradients(self, feature_gradients: Tensor) -> dict[str, Tensor]:
        """Σ over rows of the squared gradient of that row alone, by name of dense parameter.

        To be called between `forward_to_learn` and `backward`; `feature_gradients` [m, width] are those of its first m
        rows. One pass back for every row here.
        """
        sparse = {id(parameter) for parameter in self.row_sparse_parameters()}
        trained = {n: p for n, p in self.named_parameters() if p.requires_grad and id(p) not in sparse}
        squares = {name: torch.zeros_like(parameter) for name, parameter in trained.items()}
        if not trained or not self._learnt_features.requires_grad:
            return squares
        with torch.enable_grad():
            rows = self._learnt_features.unbind()
        for features, gradient in zip(rows, feature_gradients, strict=False):
            found = torch.autograd.grad(
                features, list(trained.values()), gradient, retain_graph=True, allow_unused=True
            )
            for name, of_row in zip(trained, found, strict=True):
                if of_row is not None:
                    squares[name] += of_row.square()
        return squares

    def row_sparse_parameters(self) -> Iterator[nn.Parameter]:
        """Tables of which a step touches few rows; their gradients are sparse, the others' dense."""
        return iter(())

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        raise NotImplementedError


class MlpBackbone(Backbone):
    """Linear and ReLU for each hidden width; without any, the row itself.

    Its gradient is written out: at batches of some dozens of rows autograd costs more than the arithmetic.
    """

    def __init__(self, input_width: int, hidden: tuple[int, ...], *, blank: bool = False) -> None:
        super().__init__()
        self.layers = _layers(input_width, hidden, blank=blank)
        self.width = hidden[-1] if hidden else input_width
        self._outputs: list[Tensor] = []

    @cached_property
    def _linears(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        """Weight and bias by layer; first asked for when the module is on its device."""
        linears = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return [(cast(nn.Parameter, layer.weight), layer.bias) for layer in linears]

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        """Names of weight and bias by layer."""
        names = [name for name, layer in self.layers.named_children() if isinstance(layer, nn.Linear)]
        return [(f"layers.{name}.weight", f"layers.{name}.bias") for name in names]

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        for weight, bias in self._linears:
            dense = torch.addmm(bias, dense, weight.t()).relu_()
        return dense

    def forward_to_learn(self, dense: Tensor, tokens: Tensor) -> Tensor:
        outputs = self._outputs
        outputs.clear()  # the list stays the same one: setting an attribute of a module costs as much as a step's sum
        outputs.append(dense)
        for weight, bias in self._linears:
            dense = torch.addmm(bias, dense, weight.t()).relu_()
            outputs.append(dense)
        return dense

    def backward(self, feature_gradients: Tensor) -> None:
        gradients = feature_gradients
        for place in reversed(range(len(self._linears))):
            weight, bias = self._linears[place]
            gradients = gradients.mul_(self._outputs[place + 1].sign())  # 1 where ReLU let through, else 0
            weight.grad = torch.mm(gradients.t(), self._outputs[place])
            bias.grad = gradients.sum(dim=0)
            if place:
                gradients = torch.mm(gradients, weight)

    def squared_gradients(self, feature_gradients: Tensor) -> dict[str, Tensor]:
        """All rows at once: a row's gradient of a weight is an outer product, so its square is one too."""
        squares, num_rows, gradients = {}, len(feature_gradients), feature_gradients
        for place in reversed(range(len(self._linears))):
            gradients = gradients * self._outputs[place + 1][:num_rows].sign()
            squared = gradients.square()
            squares[self._names[place][0]] = torch.mm(squared.t(), self._outputs[place][:num_rows].square())
            squares[self._names[place][1]] = squared.sum(dim=0)
            gradients = torch.mm(gradients, self._linears[place][0])
        return squares


class TextBackbone(Backbone):
    """The mean of the words' embeddings beside the other columns, then hidden layers. Row 0 of the table is padding."""

    def __init__(self, input_width: int, config: BackboneConfig, *, blank: bool = False) -> None:
        super().__init__()
        self.table = (_BlankEmbeddingBag if blank else nn.EmbeddingBag)(
            config.embedding_buckets + 1, config.embedding_width, mode="mean", sparse=True, padding_idx=0
        )
        joined_width = input_width + config.embedding_width
        hidden = config.hidden_for(joined_width)
        self.layers = _layers(joined_width, hidden, blank=blank)
        self.width = hidden[-1] if hidden else joined_width

    def row_sparse_parameters(self) -> Iterator[nn.Parameter]:
        yield cast(nn.Parameter, self.table.weight)

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        words = self.table(tokens)
        return cast(Tensor, self.layers(torch.cat((words, dense), dim=1)))


class OperatorBackbone(Backbone):
    """A module that the operator's own factory made."""

    mode_matters = True

    def __init__(self, module: nn.Module, width: int) -> None:
        super().__init__()
        self.module = module
        self.width = width

    def forward(self, dense: Tensor, tokens: Tensor) -> Tensor:
        return cast(Tensor, self.module(dense))


def build_backbone(config: BackboneConfig, input_width: int, *, seed: int | None, device: torch.device) -> Backbone:
    """Seeded: the same arguments give the same weights; torch's global generator is left as it was.

    Without a seed the weights are yet to be read from somewhere: those of the built-in kinds are whatever was in
    memory, since drawing them takes longer than all the rest.

    Raises:
        ConfigurationError: the operator's factory cannot be loaded, fails, or makes something that does not fit.
    """
    if seed is None and config.kind in ("mlp", "text"):  # nothing is drawn
        return _placed(_build(config, input_width, blank=True), device)
    generator = torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed or 0)
    try:
        return _placed(_build(config, input_width, blank=seed is None), device)
    finally:
        generator.set_state(before)


def _placed(backbone: Backbone, device: torch.device) -> Backbone:
    return backbone.eval() if device.type == "cpu" else backbone.eval().to(device)


def backbone_json(config: BackboneConfig) -> dict[str, Json]:
    """The keys that decide what this kind of backbone computes: two are the same if these are."""
    if config.kind not in ("mlp", "text"):
        return {"kind": config.kind, "options": dict(config.options)}
    used: dict[str, Json] = {
        "kind": config.kind,
        "hidden": config.hidden if config.hidden == "auto" else list(config.hidden),
    }
    if config.kind == "text":
        used |= {name: getattr(config, name) for name in ("embedding_buckets", "embedding_width", "max_tokens")}
    return used


def _build(config: BackboneConfig, input_width: int, *, blank: bool) -> Backbone:
    if config.kind == "mlp":
        return MlpBackbone(input_width, config.hidden_for(input_width), blank=blank)
    if config.kind == "text":
        return TextBackbone(input_width, config, blank=blank)
    return OperatorBackbone(*operator_module(config, input_width))


class _BlankLinear(nn.Linear):
    def reset_parameters(self) -> None:
        """Leave what was in memory."""


class _BlankEmbeddingBag(nn.EmbeddingBag):
    def reset_parameters(self) -> None:
        """Leave what was in memory."""


def _layers(input_width: int, hidden: tuple[int, ...], *, blank: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    linear = _BlankLinear if blank else nn.Linear
    for width in hidden:
        layers += [linear(input_width, width), nn.ReLU()]
        input_width = width
    return nn.Sequential(*layers)
