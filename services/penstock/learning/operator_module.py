"""A module that the operator's own factory makes, tried before it is trusted."""

import importlib
from typing import Any, Final

import torch
from torch import Tensor, nn

from penstock.errors import ConfigurationError
from penstock.learning.config import BackboneConfig

_TRIAL_ROWS: Final = 2


def operator_module(config: BackboneConfig, input_width: int) -> tuple[nn.Module, int]:
    """What `module:factory` makes for rows of this width, and the width H of what it returns for them.

    Raises:
        ConfigurationError: the factory cannot be loaded, fails, or makes something that does not fit.
    """
    where = f"model.backbone.kind is {config.kind!r}"
    module_name, _, factory_name = config.kind.partition(":")
    try:
        factory: Any = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{where}, which cannot be loaded: {error}.") from error
    try:
        module = factory(input_width, **config.options)
    except Exception as error:  # the operator's code may raise anything
        raise ConfigurationError(f"{where}; factory({input_width}, **options) failed: {error!r}.") from error
    if not isinstance(module, nn.Module):
        raise ConfigurationError(f"{where}; it returned {type(module).__name__}, where a torch.nn.Module is needed.")
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32:
            raise ConfigurationError(f"{where}; its parameter {name!r} is {parameter.dtype}; float32 is needed.")
    return module, _trial_width(module, input_width, where)


def _trial_width(module: nn.Module, input_width: int, where: str) -> int:
    """H, found by running two rows of zeros through."""
    try:
        with torch.no_grad():  # not inference mode: a lazy module makes its parameters here
            output = module.eval()(torch.zeros(_TRIAL_ROWS, input_width))
    except Exception as error:  # the operator's code may raise anything
        raise ConfigurationError(f"{where}; it failed on an input [2, {input_width}]: {error!r}.") from error
    if not isinstance(output, Tensor):
        raise ConfigurationError(f"{where}; it returns {type(output).__name__}, where a float32 tensor is needed.")
    if output.dim() != 2 or len(output) != _TRIAL_ROWS or output.shape[1] < 1 or output.dtype != torch.float32:
        raise ConfigurationError(
            f"{where}; for an input [2, {input_width}] it returns {output.dtype} {list(output.shape)};"
            " float32 [2, H] is needed."
        )
    return int(output.shape[1])
