"""Answers to clients that have gone."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLOSED = "handler is closed"
"""How uvloop words a write to a connection that the other side has closed a moment before."""


def is_lost(error: RuntimeError) -> bool:
    """True if a write failed because nobody is there any more."""
    return CLOSED in str(error)


def ignoring_lost_clients(app: ASGIApp) -> ASGIApp:
    """`app`, with an answer nobody waits for dropped rather than reported as an error."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_if_there(message: Message) -> None:
            try:
                await send(message)
            except RuntimeError as error:
                if not is_lost(error):
                    raise

        await app(scope, receive, send_if_there)

    return guarded
