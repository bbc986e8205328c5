"""Counts, and names that others chose, in sentences and tables for people."""

UNPRINTABLE = "\ufffd"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 event`, `12,345 events`; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def masked(text: str) -> str:
    """A sender chooses names; none of them may break a line, steer a terminal or end a page."""
    return "".join(each if each.isprintable() else UNPRINTABLE for each in text)
