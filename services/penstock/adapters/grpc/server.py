"""gRPC on a port of its own, on the event loop of the data plane."""

import asyncio
from typing import Any

import grpc.aio

from penstock.errors import ConfigurationError

OVERHEAD_BYTES = 65_536
"""Of a message around its tensors."""


class GrpcServer:
    """Listens from construction, on the running event loop; answers while `serve` runs."""

    def __init__(self, handlers: Any, *, host: str, port: int, max_body_bytes: int, shared: bool = False) -> None:
        """Take the port; 0 takes a free one. A `shared` one other processes may listen on, too.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(shared)),
                ("grpc.max_receive_message_length", max_body_bytes + OVERHEAD_BYTES),
                ("grpc.max_send_message_length", -1),
            ]
        )
        self._server.add_generic_rpc_handlers((handlers,))
        self._stopping = asyncio.Event()
        self.port: int = self._listen(f"[{host}]" if ":" in host else host, port)

    async def serve(self, *, grace_seconds: float) -> None:
        """Answer until `stop`; requests in flight may then take `grace_seconds` more."""
        await self._server.start()
        try:
            await self._stopping.wait()
        finally:
            await self._server.stop(grace_seconds)

    def stop(self) -> None:
        """End `serve`, or keep it from going on; from its event loop only."""
        self._stopping.set()

    def _listen(self, host: str, port: int) -> int:
        try:
            taken: int = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:
            taken = 0
        if not taken:
            raise ConfigurationError(
                f"serving.grpc_port is {port}: {host}:{port} cannot be listened on; set serving.grpc_port to a free "
                'port, to 0 for any or to "off", and serving.host to an address of this machine.'
            )
        return taken
