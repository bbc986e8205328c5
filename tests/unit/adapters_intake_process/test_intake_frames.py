"""What the intake process and the trainer say to each other arrives as it was said."""

import os
import threading
from collections.abc import Iterator

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.adapters.intake_process.controls import SentControl, received, sent
from penstock.adapters.intake_process.frames import CommandWriter, FrameReader, FrameWriter
from penstock.adapters.intake_process.messages import Commit, Quiet, Word
from penstock.flow import ClassRequest, Control, EventPlace, ImportRequest, RetractionRequest


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Read end and write end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue  # closed by the test


def test_frames_far_larger_than_the_pipe_arrive_whole_and_in_order(pipe: tuple[int, int]) -> None:
    bodies = [bytearray(os.urandom(size)) for size in (0, 1, 3_000_000, 17)]
    words: list[Word] = [Quiet(ends={0: number}, readings=[]) for number in range(len(bodies))]

    def write() -> None:
        for word, body in zip(words, bodies, strict=True):
            FrameWriter(pipe[1]).write(word, body)
        os.close(pipe[1])

    writing = threading.Thread(target=write)
    writing.start()
    reader = FrameReader(pipe[0])
    frames = []
    while reader.is_readable(5) and (frame := reader.read()) is not None:
        frames.append(frame)
    writing.join()
    assert frames == list(zip(words, bodies, strict=True))


@pytest.mark.parametrize("cut", [0, 5, 12, 40])
def test_a_writer_that_dies_in_the_middle_of_a_frame_is_one_that_has_gone(pipe: tuple[int, int], cut: int) -> None:
    whole_in, whole_out = os.pipe()
    FrameWriter(whole_out).write(Quiet(ends={}, readings=[]), b"0123456789")
    os.write(pipe[1], os.read(whole_in, 1000)[:cut])
    for end in (whole_in, whole_out, pipe[1]):
        os.close(end)
    assert FrameReader(pipe[0]).read() is None


def test_nothing_is_readable_before_something_was_written(pipe: tuple[int, int]) -> None:
    assert not FrameReader(pipe[0]).is_readable(0)


EVENT = pa.RecordBatch.from_pydict({"features.n": [1.5], "label": ["spam"], "weight": [2.0]})
names = st.text(min_size=1, max_size=20)
requests = st.one_of(
    st.builds(ClassRequest, verb=st.sampled_from(["hibernate", "wake", "retire"]), classes=st.tuples(names)),
    st.builds(ClassRequest, verb=st.just("hibernate"), tenant=names),
    st.builds(ImportRequest, packet=st.binary(max_size=50), name=st.none() | names),
    st.builds(
        RetractionRequest,
        event=st.just(EVENT),
        of=names | st.builds(EventPlace, topic=names, partition=st.integers(0, 9), offset=st.integers(0, 2**60)),
    ),
)
places = st.integers(0, 2**31)


@given(st.builds(Control, at=places, partition=places, offset=places, row=places, request=requests))
def test_a_control_arrives_as_it_was_sent(control: Control) -> None:
    content = msgspec.json.encode(sent(control))
    assert received(msgspec.json.decode(content, type=SentControl)) == control


def test_commands_wait_for_a_reader_that_is_busy_and_arrive_in_order(pipe: tuple[int, int]) -> None:
    writer, told = CommandWriter(pipe[1]), [Commit(offsets={number: 2**40}) for number in range(20_000)]
    for command in told:
        writer.write(command)
    assert writer.has_more, "a pipe takes some dozens of KiB"
    heard = b""
    while writer.has_more or heard.count(b"\n") < len(told):
        heard += os.read(pipe[0], 1 << 16)
        writer.write_more()
    assert [msgspec.json.decode(line, type=Commit) for line in heard.splitlines()] == told


def test_commands_to_a_reader_that_has_gone_are_dropped(pipe: tuple[int, int]) -> None:
    writer = CommandWriter(pipe[1])
    for _ in range(20_000):
        writer.write(Commit(offsets={0: 2**40}))
    os.close(pipe[0])
    writer.write_more()
    writer.write(Commit(offsets={}))
    assert not writer.has_more
