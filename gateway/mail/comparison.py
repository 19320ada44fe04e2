"""Which fields of a header are the same in another one, in bounded time: the sender of a mail chooses its header."""

from bisect import bisect_left
from collections.abc import Sequence
from difflib import SequenceMatcher

Pair = tuple[bytes, bytes]
Run = tuple[int, int, int, int]
"""old[start:end] reads differently: new[start:end]."""

_DIFF_LIMIT = 10_000
"""Pairs of fields beyond which difflib, cubic at worst, gives way to a comparison that may match less."""


def differing_runs(old: Sequence[Pair], new: Sequence[Pair]) -> list[Run]:
    """The runs in which two headers differ, last first, so that what is done to one shifts no other."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old, new = old[head : len(old) - tail], new[head : len(new) - tail]
    runs: list[Run] = []
    old_start = new_start = 0
    for old_end, new_end in [*_matches(old, new), (len(old), len(new))]:
        if old_end > old_start or new_end > new_start:
            runs.append((head + old_start, head + old_end, head + new_start, head + new_end))
        old_start, new_start = old_end + 1, new_end + 1
    return runs[::-1]


def _common(one: Sequence[Pair], other: Sequence[Pair]) -> int:
    """How many fields both have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _matches(old: Sequence[Pair], new: Sequence[Pair]) -> list[tuple[int, int]]:
    """Numbers of equal fields, growing on both sides."""
    if len(old) * len(new) > _DIFF_LIMIT:
        return _longest_rise(_by_rank(old, new))
    blocks = SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks()
    return [(block.a + at, block.b + at) for block in blocks for at in range(block.size)]


def _by_rank(old: Sequence[Pair], new: Sequence[Pair]) -> list[tuple[int, int]]:
    """The first of several equal fields with the first, the second with the second, and so on."""
    places: dict[Pair, list[int]] = {}
    for at in reversed(range(len(old))):
        places.setdefault(old[at], []).append(at)
    return [(places[pair].pop(), at) for at, pair in enumerate(new) if places.get(pair)]


def _longest_rise(matches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest subsequence that grows on both sides (patience sorting)."""
    tops: list[int] = []
    chosen: list[int] = []
    before: list[int | None] = []
    for at, (old, _) in enumerate(matches):
        pile = bisect_left(tops, old)
        before.append(chosen[pile - 1] if pile else None)
        tops[pile : pile + 1] = [old]
        chosen[pile : pile + 1] = [at]
    rise: list[tuple[int, int]] = []
    link = chosen[-1] if chosen else None
    while link is not None:
        rise.append(matches[link])
        link = before[link]
    return rise[::-1]
