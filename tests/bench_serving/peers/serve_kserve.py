"""KServe with the network of the benchmark: `python serve_kserve.py PORT WEIGHTS`."""

import logging
import sys

import torch
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from safetensors.torch import load_file

PORT, WEIGHTS = int(sys.argv[1]), sys.argv[2]


class Network(Model):
    """The same tensors as Penstock's, through the same three operations of torch."""

    def load(self) -> bool:
        self._tensors = load_file(WEIGHTS)
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None) -> InferResponse:
        rows = torch.from_numpy(payload.inputs[0].as_numpy())
        with torch.inference_mode():
            hidden = torch.relu(torch.nn.functional.linear(rows, self._tensors["weight"], self._tensors["bias"]))
            logits = torch.nn.functional.linear(hidden, self._tensors["head_weight"], self._tensors["head_bias"])
            best, places = torch.softmax(logits, dim=1).max(dim=1)
        labels = [f"c{place}" for place in places.tolist()]
        return InferResponse(
            response_id=payload.id or "none",
            model_name=self.name,
            infer_outputs=[
                InferOutput(name="label", shape=[len(labels)], datatype="BYTES", data=labels),
                InferOutput(name="probability", shape=[len(labels)], datatype="FP32", data=best.tolist()),
            ],
        )


torch.set_num_threads(1)
logging.disable(logging.INFO)
network = Network("bench")
network.load()
ModelServer(http_port=PORT, enable_grpc=False, workers=1, access_log_format=None).start([network])
