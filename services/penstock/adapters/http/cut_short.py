"""Requests that are still open when the grace of a server that ends is over."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.adapters.http.answers import refusal_response
from penstock.serving.refusals import NotReadyError


def answering_when_cut_short(app: ASGIApp) -> ASGIApp:
    """`app`, with what the server cancels at its end answered as everything else that a replica cannot do now."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:  # raised on it would be a traceback in the log and a 500 to the client
            response = refusal_response(NotReadyError("This replica has shut down meanwhile; ask another one."))
            response.headers["Connection"] = "close"
            await response(scope, receive, send)

    return guarded
