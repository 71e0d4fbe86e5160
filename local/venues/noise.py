"""Repeatable randomness that can be asked for any instant without the instants before it."""

from __future__ import annotations

import math

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def mix(*parts: int) -> int:
    """Hash integers into 64 well-mixed bits (the finaliser of splitmix64, folded over the parts)."""
    state = 0
    for part in parts:
        state = (state ^ part) + _GOLDEN & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state


def name_key(name: str) -> int:
    """Turn a name into a number that is the same in every process (``hash`` is not)."""
    return int.from_bytes(name.encode()[-16:], "big") & _MASK ^ len(name)


def unit(*parts: int) -> float:
    """Draw a number in [0, 1)."""
    return mix(*parts) / 18446744073709551616.0


def smooth(key: int, position: float) -> float:
    """Value noise in [-1, 1]: random at whole positions, smooth between them."""
    whole = math.floor(position)
    part = position - whole
    left = 2.0 * unit(key, whole) - 1.0
    right = 2.0 * unit(key, whole + 1) - 1.0
    return left + (right - left) * part * part * (3.0 - 2.0 * part)


def wander(key: int, seconds: float, *, shortest_s: float, octaves: int) -> float:
    """Sum smooth noises so that the result moves like a random walk but stays bounded.

    Each octave is twice as slow and root two as strong as the one before, so the change over a
    span grows with its square root up to ``shortest_s * 2 ** octaves`` and no further.
    """
    total = 0.0
    period_s = shortest_s
    for octave in range(octaves):
        total += math.sqrt(period_s) * smooth(mix(key, octave), seconds / period_s)
        period_s *= 2.0
    return total
