"""Web pages may ask only where their origin is configured."""

import pytest

from http_replica import http_replica
from served_models import PIXELS, served

PAGE = "https://shop.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
INFER = "/v2/models/digits/infer"


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [((), None), (("https://other.example",), None), ((PAGE,), PAGE), (("*",), "*")],
)
def test_a_page_is_answered_only_if_its_origin_is_configured(origins: tuple[str, ...], allowed: str | None) -> None:
    with http_replica(PIXELS, cors_origins=origins) as replica:
        replica.slot.current = served(1)
        _, _, headers = replica.ask("GET", "/v2/models/digits", None, {"Origin": PAGE})
        assert headers.get("access-control-allow-origin") == allowed
        status, _, headers = replica.ask("OPTIONS", INFER, None, PREFLIGHT)
        assert headers.get("access-control-allow-origin") == allowed
        assert (status == 200) == (allowed is not None)
        assert replica.ask("POST", INFER, b"{}")[0] == 400
