"""Web pages may ask only where their origin is configured."""

from typing import Any

import pytest

from http_replica import http_replica
from penstock.errors import ConfigurationError
from penstock.serving.config import ServingConfig
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
        assert ("Retry-After" in headers.get("access-control-expose-headers", "")) == bool(configured)
        status, answer, headers = replica.ask("OPTIONS", INFER, None, PREFLIGHT)
        assert headers.get("access-control-allow-origin") == allowed
        assert (status == 200) == (allowed is not None)
        if status != 200:
            assert list(answer) == ["error"]
        assert replica.ask("POST", INFER, b"{}")[0] == 400


@pytest.mark.parametrize(
    ("asked", "fragments"),
    [
        ({"Origin": "https://other.example"}, ["'https://other.example'", "serving.cors_origins"]),
        ({"Origin": "https://" + "x" * 9000}, ["'https://xxx", "serving.cors_origins"]),
        ({"Access-Control-Request-Method": "DELETE"}, ["'DELETE'", "GET and POST"]),
        ({"Access-Control-Request-Private-Network": "true"}, ["private"]),
    ],
)
def test_a_refused_preflight_gets_the_one_form_of_every_error(asked: dict[str, str], fragments: list[str]) -> None:
    with http_replica(PIXELS, cors_origins=(PAGE,)) as replica:
        status, answer, headers = replica.ask("OPTIONS", INFER, None, PREFLIGHT | asked)
    assert status == 400
    assert headers["content-type"] == "application/json"
    assert list(answer) == ["error"]
    assert len(answer["error"]) < 300
    for fragment in fragments:
        assert fragment in answer["error"]


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "http://localhost:5173",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://xn--bcher-kva.example",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_origins_as_browsers_send_them_can_be_configured(origin: str) -> None:
    assert ServingConfig(cors_origins=(PAGE, origin)).cors_origins == (PAGE, origin)


@pytest.mark.parametrize(
    "origin",
    [
        "shop.example",
        "https://shop.example/",
        "https://shop.example/page",
        "https://Shop.example",
        "https://*.example",
        "https://shop.example:",
        "https://user@shop.example",
        "https://shop.example, https://other.example",
        "https://shop.example\n",
        "null",
        "",
    ],
)
def test_an_origin_that_no_browser_sends_is_named(origin: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        ServingConfig(cors_origins=(PAGE, origin))
    for fragment in ("serving.cors_origins", repr(origin), '"*"', "scheme://host"):
        assert fragment in str(refused.value)
