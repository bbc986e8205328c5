"""A mailbox hands over the newest value and never blocks its writer."""

import threading

from penstock.trainer.mailbox import Mailbox


def test_a_newer_value_replaces_one_not_yet_taken() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for value in range(1, 4):
        mailbox.put(value)
    assert mailbox.take(0) == 3
    assert mailbox.take(0) is None


def test_take_wakes_when_a_value_comes() -> None:
    mailbox: Mailbox[str] = Mailbox()
    taken: list[str | None] = []
    reader = threading.Thread(target=lambda: taken.append(mailbox.take(10)))
    reader.start()
    mailbox.put("update")
    reader.join(60)
    assert taken == ["update"]


def test_closing_lets_the_last_value_out_and_then_ends() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1)
    mailbox.close()
    assert mailbox.take() == 1
    assert mailbox.take() is None
