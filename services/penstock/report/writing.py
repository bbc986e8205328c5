"""Numbers, times and names as the page writes them."""

import html
import math

from penstock.clock import to_rfc3339
from penstock.wording import masked

LONGEST_NAME = 28


def count(value: float) -> str:
    """12,345."""
    return f"{value:,.0f}"


def short_count(value: float) -> str:
    """0, 950, 12k, 3.5M: for axes."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def share(value: float) -> str:
    """0.934; a dash where there is none."""
    return f"{value:z.3f}" if math.isfinite(value) else "–"


def percent(value: float) -> str:
    """12.3 %."""
    return f"{100 * value:.1f} %"


def moment(time_ms: float) -> str:
    """2026-05-09 07:41:03 UTC."""
    return f"{to_rfc3339(int(time_ms))[:19].replace('T', ' ')} UTC"


def duration(seconds: float) -> str:
    """In the unit that fits."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def text(value: str) -> str:
    """Safe inside an element or an attribute, and nothing that no page may hold; lines stay lines."""
    return html.escape("\n".join(map(masked, value.split("\n"))))


def name(value: str) -> str:
    """A class's name, cut where it is long; the whole of it shows under the pointer."""
    if len(value) <= LONGEST_NAME:
        return text(value)
    return f'<span title="{text(value)}">{text(cut(value))}</span>'


def cut(value: str, longest: int = LONGEST_NAME) -> str:
    """At most so many characters."""
    return value if len(value) <= longest else value[: longest - 1] + "…"


def span(first: float, last: float) -> str:
    """From when to when, by Kafka's timestamps."""
    if not (math.isfinite(first) and math.isfinite(last)):
        return ""
    return f"{moment(first)} to {moment(last)}"
