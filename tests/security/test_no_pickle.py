"""Loading weights executes no code: nothing that could unpickle stands in its way."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import penstock

PACKAGE = Path(penstock.__file__).parent
UNPICKLING = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
LOADERS = {("torch", "load"), ("np", "load"), ("numpy", "load"), ("pd", "read_pickle"), ("torch.jit", "load")}

PROGRAM = """
import pickle, sys
from served_models import CPU, MIXED, PIXELS, update_of, weights_of

contents = [(model, weights_of(model.name)[0].content) for model in (PIXELS, MIXED)]

def forbidden(*_arguments, **_named):
    raise AssertionError("something unpickles")

import _pickle
for module in (pickle, _pickle):
    for name in ("load", "loads", "Unpickler"):
        setattr(module, name, forbidden)
import torch
torch.load = forbidden
torch.jit.load = forbidden

from penstock.learning.predictor import Predictor
for model, content in contents:
    predictor = Predictor.from_weights(content, model=model, device=CPU)
    assert predictor.class_names
print("built")
"""


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_no_module_of_ours_imports_what_unpickles_or_calls_a_loader_that_does() -> None:
    for module in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(module.read_text(encoding="utf-8"))
        assert not UNPICKLING & set(imported(tree)), module
        calls = [ast.unparse(node.func).rpartition(".") for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {(owner, name) for owner, _, name in calls} & LOADERS, module


def test_a_model_is_built_in_a_process_in_which_unpickling_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent
    )
    assert done.stdout.strip() == "built", done.stderr
