"""LwF: fresh rows are held to what the model said before its newest classes came.

Li, Hoiem, "Learning without forgetting" (ECCV 2016), eq. 2 to 4. The teacher is the model as it stood at the last
growth, so the term is 0 until something is learnt.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.backbones import Backbone
from penstock.learning.head import LinearHead
from penstock.learning.regularisers.step import Step
from penstock.learning.tensors import host_tensor, under

TEMPERATURE = 2.0

_BACKBONE = "backbone."


class Teacher:
    """Adds weight · T² · KL(teacher ‖ student) over the teacher's classes, softened by T = 2, to fresh rows."""

    def __init__(self, weight: float, backbone: Backbone, head: LinearHead) -> None:
        self._weight = weight
        self._student, self._student_head = backbone, head
        self._backbone = copy.deepcopy(backbone).requires_grad_(False).eval()
        self._head = head.live_rows.clone()
        self._softened: Tensor | None = None

    def consolidate(self) -> None:
        """Be the model as it stands now."""
        self._backbone.load_state_dict(self._student.state_dict())
        self._head = self._student_head.live_rows.clone()

    def row_was_set(self, index: int) -> None:
        """Say of a class what the student says of it now."""
        if index < len(self._head):
            self._head[index] = self._student_head.rows[index]

    def look_at(self, dense: Tensor, tokens: Tensor) -> None:
        """Say what the steps to come hold the fresh rows [n, …] to, standardised as the student reads them."""
        self._softened = None
        if len(self._head) and len(dense):
            with torch.no_grad():
                features = self._backbone(dense, tokens)
            logits = torch.addmm(self._head[:, -1], features, self._head[:, :-1].t())
            self._softened = torch.softmax(logits / TEMPERATURE, dim=1)

    def adjust(self, gradients: Tensor, logits: Tensor, step: Step) -> None:
        """Of the fresh rows, in the teacher's columns."""
        if self._softened is None:
            return
        num_rows, num_classes = self._softened.shape
        student = torch.softmax(logits[:num_rows, :num_classes] / TEMPERATURE, dim=1)
        difference = (student - self._softened).mul_(self._weight * TEMPERATURE * step.shares[:num_rows])
        gradients[:num_rows, :num_classes] += difference

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        return {"head": self._head} | {_BACKBONE + name: t for name, t in self._backbone.state_dict().items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._head = host_tensor(arrays["head"]).to(self._head.device, copy=True)
        state = {name: host_tensor(array.copy()) for name, array in under(_BACKBONE, arrays).items()}
        self._backbone.load_state_dict(state)
