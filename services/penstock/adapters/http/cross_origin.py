"""Which web pages may ask: CORS, with refusals in the one form of every error."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from penstock.adapters.http.answers import error_response
from penstock.adapters.http.bodies import HEADER_LENGTH

METHODS = ("GET", "POST")
SHOWN_CHARACTERS = 100


class CrossOrigin(CORSMiddleware):
    """Lets a browser's pages of these origins ask."""

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=("*",),
            expose_headers=(HEADER_LENGTH, "Retry-After"),
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser is told before its page may ask."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        ours = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
        return error_response(response.status_code, self._reason(request_headers), ours)

    def _reason(self, headers: Headers) -> str:
        origin, method = (headers[name][:SHOWN_CHARACTERS] for name in ("origin", "access-control-request-method"))
        if not self.is_allowed_origin(headers["origin"]):
            return f"Pages of the origin {origin!r} may not ask; serving.cors_origins names those that may."
        if method not in METHODS:
            return f"Pages may not ask by {method!r}; GET and POST are allowed."
        return "Pages of a public network may not ask a replica on a private one."
