"""A frozen backbone's features as what the heads beside the linear one read of a row."""

import hashlib

import numpy as np
import numpy.typing as npt
import torch

from penstock.learning.backbones import Backbone

Float64s = npt.NDArray[np.float64]
Int32s = npt.NDArray[np.int32]


class FrozenFeatures:
    """Standardised rows to features [n, width]. Sums of them mean something only as long as the backbone stands still.

    The backbone is shared, not copied: what a warm start or a checkpoint loads into it is what is read from then on.
    """

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        self._backbone, self._device = backbone, device
        self.width = backbone.width

    def __call__(self, standardised: Float64s, tokens: Int32s) -> Float64s:
        """[n, width], the values of float32, of `standardised` [n, D] and `tokens` [n, T]."""
        if not len(standardised):
            return np.zeros((0, self.width))
        dense = torch.from_numpy(standardised.astype(np.float32)).to(self._device)
        with torch.inference_mode():
            features = self._backbone(dense, torch.from_numpy(tokens).to(self._device))
        found: Float64s = features.cpu().numpy().astype(np.float64)
        return found

    @property
    def fingerprint(self) -> str:
        """Of every weight and buffer: the same for backbones that give the same features."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self._backbone.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()
