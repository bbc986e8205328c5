"""MLServer with the network of the benchmark: `python serve_mlserver.py PORT WEIGHTS`; says READY once it answers."""

import asyncio
import sys

import torch
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from safetensors.torch import load_file

PORT, WEIGHTS = int(sys.argv[1]), sys.argv[2]


class Network(MLModel):
    """The same tensors as Penstock's, through the same three operations of torch."""

    async def load(self) -> bool:
        self._tensors = load_file(WEIGHTS)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = torch.from_numpy(NumpyCodec.decode_input(payload.inputs[0]))
        with torch.inference_mode():
            hidden = torch.relu(torch.nn.functional.linear(rows, self._tensors["weight"], self._tensors["bias"]))
            logits = torch.nn.functional.linear(hidden, self._tensors["head_weight"], self._tensors["head_bias"])
            best, places = torch.softmax(logits, dim=1).max(dim=1)
        labels = [f"c{place}" for place in places.tolist()]
        return InferenceResponse(
            model_name=self.name,
            outputs=[
                StringCodec.encode_output("label", labels),
                NumpyCodec.encode_output("probability", best.numpy()),
            ],
        )


async def main() -> None:
    torch.set_num_threads(1)
    settings = Settings(
        host="127.0.0.1", http_port=PORT, grpc_port=PORT + 1, metrics_endpoint=None, parallel_workers=0, debug=False
    )
    await MLServer(settings).start([ModelSettings(name="bench", implementation=Network)])


asyncio.run(main())
