"""Drawn letters: another set of images, rendered from a font with random turns, shifts, sizes and noise."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bench_learning.stream import Floats, Stream
from bench_learning.streams.tasks import Arrangement, blurred_tasks, class_incremental, in_tasks, long_tail

LETTERS = "ABEFHKMRSX"
SIDE = 10
PER_LETTER = 180
FONTS = ("DejaVuSans.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSansMono-Bold.ttf")


def split_letters(seed: int) -> Stream:
    """Two new letters at a time."""
    return _letters(in_tasks(np.arange(len(LETTERS))), seed)


def blurry_letters(seed: int) -> Stream:
    """In a random order of letters, with blurry borders."""
    return _letters(blurred_tasks(np.random.default_rng(seed).permutation(len(LETTERS))), seed)


def long_tail_letters(seed: int) -> Stream:
    """1:20, the sizes dealt at random."""
    order = np.arange(len(LETTERS))
    return _letters(long_tail(20, np.random.default_rng(seed).permutation(order), in_tasks(order)), seed)


def letters_at_once(seed: int) -> Stream:
    """All from the start, shuffled."""
    return _letters(in_tasks(np.arange(len(LETTERS)), per_task=len(LETTERS)), seed)


def _letters(arrangement: Arrangement, seed: int) -> Stream:
    classes = np.repeat(np.arange(len(LETTERS)), PER_LETTER)
    return class_incremental(_drawn(seed), classes, arrangement, seed=seed)


@cache
def _drawn(seed: int) -> Floats:
    """[10 · `PER_LETTER`, `SIDE`²] in 0 to 16."""
    rng = np.random.default_rng(seed)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    fonts = [ImageFont.truetype(str(folder / name), 30) for name in FONTS]
    return np.stack(
        [_image(letter, fonts[rng.integers(len(fonts))], rng) for letter in LETTERS for _ in range(PER_LETTER)]
    )


def _image(letter: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Floats:
    canvas = Image.new("L", (48, 48))
    ImageDraw.Draw(canvas).text((24, 24), letter, fill=255, font=font, anchor="mm")
    size = round(48 * rng.uniform(0.85, 1.15))
    turned = canvas.rotate(rng.normal(0, 8), translate=tuple(rng.normal(0, 1.2, 2))).resize((size, size))
    left = (size - 40) // 2
    small = turned.crop((left, left, left + 40, left + 40)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.clip(np.asarray(small, dtype=np.float64).ravel() / 16 + rng.normal(0, 1.0, SIDE * SIDE), 0, 16)
