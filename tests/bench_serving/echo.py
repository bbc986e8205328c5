"""A bare ASGI application on the server that a replica uses: `python echo.py PORT`."""

import sys

from starlette.types import Receive, Scope, Send

from penstock.adapters.http.server import HttpServer, run_on_uvloop


async def app(_scope: Scope, receive: Receive, send: Send) -> None:
    """The body, sent back."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    server = HttpServer(host="127.0.0.1", port=int(sys.argv[1]))
    run_on_uvloop(lambda: server.serve(app, grace_seconds=1))
