"""What the bytes of a connection are taken for, wherever they are cut."""

import pytest

from fed_protocol import LONG, SHORT, HeldShortWay, Written, fed, request
from penstock.adapters.http.protocol import ReplicaProtocol

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n"
GARBAGE = b"\x16\x03\x01 this is not HTTP\r\n\r\n"


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_an_offer_of_another_protocol_is_passed_over_wherever_its_head_is_cut(path: bytes) -> None:
    offered = request(path, b"Upgrade: none", OFFER)
    answer = b":Upgrade: none"

    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        for cut in range(1, len(offered)):
            protocol.data_received(offered[:cut])
            protocol.data_received(offered[cut:])
            assert (await written.until(lambda said: said.endswith(answer))).startswith(b"HTTP/1.1 200"), cut
        for at in range(len(offered)):
            protocol.data_received(offered[at : at + 1])
        await written.until(lambda said: said.endswith(answer))

    fed(scenario, HeldShortWay())


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("chunked", [False, True])
def test_offers_are_passed_over_in_pipelined_requests(path: bytes, chunked: bool) -> None:
    bodies = [b"one", b"two", b"three"]
    if chunked:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%b\r\n" % (path, OFFER)
        requests = [head + b"%d\r\n%b\r\n0\r\n\r\n" % (len(body), body) for body in bodies]
    else:
        requests = [request(path, body, OFFER) for body in bodies]

    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        protocol.data_received(request(path, b"plain") + b"".join(requests))
        said = await written.until(lambda said: said.endswith(b":three"))
        assert said.count(b"HTTP/1.1 200") == 4
        places = [said.index(b":" + body) for body in (b"plain", *bodies)]
        assert places == sorted(places)

    fed(scenario, HeldShortWay())


@pytest.mark.parametrize(
    "offer", [b"Connection: Upgrade\r\n", b"Upgrade: h2c\r\n", b"Upgrade: \r\nConnection: upgrade\r\n"]
)
def test_half_an_offer_harms_nothing(offer: bytes) -> None:
    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        protocol.data_received(request(SHORT, b"{}", offer))
        await written.until(lambda said: said.endswith(b"short:{}"))

    fed(scenario, HeldShortWay())


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("rest", [GARBAGE, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"])
def test_what_cannot_be_read_is_answered_behind_what_could(path: bytes, rest: bytes) -> None:
    short_way = HeldShortWay(holds=True)

    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        protocol.data_received(request(path, b"one") + request(path, b"two") + rest)
        assert b"error" not in written.bytes
        short_way.let_go()
        said = await written.until(lambda said: b'{"error"' in said)
        assert said.index(b":one") < said.index(b":two") < said.index(b"HTTP/1.1 4")
        assert written.is_ended
        protocol.data_received(request(path, b"three"))
        assert written.bytes == b"", "what follows a refusal is not read"

    fed(scenario, short_way)


@pytest.mark.parametrize("first", [b"", request(SHORT, b"one"), request(LONG, b"one")])
def test_a_request_that_breaks_off_in_its_body_is_not_answered_twice(first: bytes) -> None:
    short_way = HeldShortWay(holds=True)
    chunked = b"POST /long HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n"

    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        protocol.data_received(first + chunked)
        protocol.data_received(b"no number\r\n")
        short_way.let_go()
        said = await written.until(lambda said: b'{"error"' in said)
        assert said.count(b"HTTP/1.1 200") == said.count(b":one") == (1 if first else 0)
        assert said.count(b"HTTP/1.1 400") == 1
        assert b"two" not in said

    fed(scenario, short_way)


def test_a_client_that_closes_its_side_behind_garbage_gets_both_answers() -> None:
    short_way = HeldShortWay(holds=True)

    async def scenario(protocol: ReplicaProtocol, written: Written) -> None:
        protocol.data_received(request(SHORT, b"one") + GARBAGE)
        assert protocol.eof_received()
        short_way.let_go()
        said = await written.until(lambda said: b'{"error"' in said)
        assert b"short:one" in said
        assert written.is_ended

    fed(scenario, short_way)
