"""Messages between a replica and its feed process arrive whole, with their descriptors, or say that nobody is there."""

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import psutil
import pytest

from penstock.adapters.feed_process.channel import MOST_DESCRIPTORS, Channel
from penstock.adapters.feed_process.messages import Answer, Records, Sent, Start
from penstock.adapters.feed_process.shared_bytes import mapped, shared
from penstock.learning.weights_layout import ALIGNMENT

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Two ends of one channel."""
    ours, theirs = socket.socketpair()
    here, there = Channel(ours, Answer), Channel(theirs, Answer)
    with closing(here), closing(there):
        yield here, there


def test_messages_come_in_order_each_with_its_own_descriptors(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    contents = [[b"one", b"two"], [], [bytes([number]) for number in range(MOST_DESCRIPTORS)]]
    for number, each in enumerate(contents):
        there.send(Records(refused=(str(number),)), [shared(content) for content in each])
    for number, each in enumerate(contents):
        message, descriptors = here.receive()
        assert message == Records(refused=(str(number),))
        assert [bytes(mapped(descriptor)) for descriptor in descriptors] == each


def test_a_message_larger_than_the_socket_holds_comes_whole(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    sent = Records(records=(Sent(key=b"k", value=os.urandom(100_000)),))
    there.send(sent)
    assert here.receive() == (sent, [])


class InOneCall(socket.socket):
    """Whoever sends on it has one call to do so."""

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        assert not memoryview(data).nbytes


def test_whoever_sees_a_small_message_begin_does_not_wait_for_the_rest_of_it() -> None:
    ours, theirs = socket.socketpair()
    with closing(Channel(ours, Answer)) as here, closing(Channel(InOneCall(fileno=theirs.detach()), Answer)) as there:
        sent = Records(records=(Sent(key=b"k", value=b"v"),))
        there.send(sent, [shared(b"one")])
        message, (descriptor,) = here.receive()
        assert message == sent
        assert bytes(mapped(descriptor)) == b"one"


def test_at_the_end_of_the_other_it_says_so(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    assert not here.is_readable(time.monotonic())
    there.close()
    assert here.is_readable(time.monotonic() + 60)
    with pytest.raises(EOFError):
        here.receive()
    with pytest.raises(BrokenPipeError):
        here.send(Records())


def test_it_may_be_the_thousandth_file_that_is_open() -> None:
    ours, theirs = socket.socketpair()
    far = 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, far + 1), hard))
    try:
        os.dup2(ours.detach(), far)
        with closing(Channel(socket.socket(fileno=far), Answer)) as here, closing(Channel(theirs, Answer)) as there:
            assert not here.is_readable(time.monotonic())
            there.send(Records())
            assert here.is_readable(time.monotonic() + 60)
            assert here.receive() == (Records(), [])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("num_bytes", [0, 5, 9])
def test_an_end_in_the_middle_of_a_message_is_an_end(num_bytes: int) -> None:
    ours, theirs = socket.socketpair()
    with closing(Channel(ours, Answer)) as here:
        theirs.sendall(b"\x10\0\0\0\0\0\0\0{"[:num_bytes])
        theirs.close()
        with pytest.raises(EOFError):
            here.receive()


def test_descriptors_that_were_sent_are_not_kept(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    before = psutil.Process().num_fds()
    for _ in range(50):
        there.send(Records(), [shared(b"weights")])
        mapped(here.receive()[1][0])
    there.close()
    with pytest.raises(BrokenPipeError):
        here.send(Records(), [shared(b"weights")])
    assert psutil.Process().num_fds() <= before


@pytest.mark.parametrize("aligned_at", [0, 1, 8, 63, 64, 100])
def test_the_byte_that_is_to_be_aligned_is(aligned_at: int) -> None:
    content = os.urandom(1000)
    view = mapped(shared(content, aligned_at=aligned_at))
    assert view == content
    assert address_of(view[aligned_at:]) % ALIGNMENT == 0


def test_nobody_can_change_what_is_shared_and_everybody_may_write_to_their_own_view() -> None:
    descriptor = shared(b"weights")
    with pytest.raises(PermissionError):
        os.write(descriptor, b"torn")
    with pytest.raises(PermissionError):
        os.ftruncate(descriptor, 0)
    mine, theirs = mapped(os.dup(descriptor)), mapped(descriptor)
    mine[:4] = b"mine"
    assert bytes(theirs) == b"weights"


def test_large_bytes_are_shared_in_steps_between_which_others_may_go_on() -> None:
    made_way = []
    assert mapped(shared(bytes(1 << 20), make_way=lambda: made_way.append(1))) == bytes(1 << 20)
    assert len(made_way) > 4


def test_what_a_start_says_of_keys_and_passwords_is_not_shown() -> None:
    start = Start(model="m", kafka={"sasl.password": "hush"}, timeout_seconds=1.0, signing_keys=(b"hush" * 8,))
    assert "hush" not in repr(start)
    assert msgspec.json.decode(msgspec.json.encode(start), type=Start) == start


def address_of(view: memoryview) -> int:
    return int(np.frombuffer(view, np.uint8).ctypes.data)
