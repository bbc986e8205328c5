"""Which part of the model a parameter of the backbone belongs to, for learning rates of their own."""

from torch import nn

from penstock.learning.rates import Part


def parts_of(backbone: nn.Module) -> dict[str, Part]:
    """`last_block` or `lower` by name of parameter.

    Blocks are the children with parameters of the outermost module that has two of them or more; the last one is
    `last_block`. So of layers in a row it is the last layer, of an encoder below a projection the projection.
    """
    prefix, module = "", backbone
    while True:
        blocks = [
            (name, child) for name, child in module.named_children() if next(child.parameters(), None) is not None
        ]
        own = next(module.parameters(recurse=False), None) is not None
        if len(blocks) != 1 or own:
            break
        name, module = blocks[0]
        prefix += f"{name}."
    last = f"{prefix}{blocks[-1][0]}." if blocks else prefix
    return {name: "last_block" if name.startswith(last) else "lower" for name, _ in backbone.named_parameters()}
