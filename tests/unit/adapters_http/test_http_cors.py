"""Web pages may ask only where their origin is configured."""

from typing import Any

import pytest

from http_replica import http_replica
from served_models import PIXELS, served

PAGE = "https://shop.example"
PREFLIGHT = {"Origin": PAGE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
INFER = "/v2/models/digits/infer"


@pytest.mark.parametrize(
    ("configured", "allowed"),
    [
        ({}, None),
        ({"cors_origins": ("https://other.example",)}, None),
        ({"cors_origins": (PAGE,)}, PAGE),
        ({"cors_origins": ("*",)}, "*"),
    ],
)
def test_a_page_is_answered_only_if_its_origin_is_configured(configured: dict[str, Any], allowed: str | None) -> None:
    with http_replica(PIXELS, **configured) as replica:
        replica.slot.current = served(1)
        _, _, headers = replica.ask("GET", "/v2/models/digits", None, {"Origin": PAGE})
        assert headers.get("access-control-allow-origin") == allowed
        status, _, headers = replica.ask("OPTIONS", INFER, None, PREFLIGHT)
        assert headers.get("access-control-allow-origin") == allowed
        assert (status == 200) == (allowed is not None)
        assert replica.ask("POST", INFER, b"{}")[0] == 400
