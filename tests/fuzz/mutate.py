"""Changing a few bytes of a file, as reading errors, old tools and attackers do."""

from __future__ import annotations

import random

NUMBERS = [
    *(b"0", b"-1", b"1", b"255", b"65536", b"4294967296", b"9223372036854775807"),
    *(b"99999999999999999999", b"1e999", b"nan", b"-inf", b"null", b"true", b"[]", b"{}", b'""'),
    *(b"x", b"", b"\n", b" ", b'"', b"[" * 3000, b"{" * 20, b"\xc3\x28", b"\r\n"),
]
"""Words that text parsers stumble over."""

WORDS = [
    value.to_bytes(size, order, signed=value < 0)
    for size in (2, 4, 8)
    for order in ("little", "big")
    for value in (0, 1, -1, 127, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 2), 1 << (8 * size - 9))
]
"""Numbers that binary parsers stumble over."""


def mutate(content: bytes, rng: random.Random, others: list[bytes] | None = None) -> bytes:
    """The content with one to four changes; ``others`` are contents to take pieces from."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 4))):
        if not data:
            break
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 64)))
        match rng.randrange(10):
            case 0:
                data[at:end] = rng.randbytes(end - at)
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end] * rng.choice((1, 1, 2, 50))
            case 3:
                del data[at:]
            case 4:
                data[at:end] = rng.choice((b"\xff", b"\x00", b"\x80")) * (end - at)
            case 5:
                word = rng.choice(WORDS)
                data[at : at + len(word)] = word
            case 6 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 7:
                _change_number(data, at, rng)
            case 8 if others:
                other = rng.choice(others)
                begin = rng.randrange(len(other) + 1)
                data[at:end] = other[begin : begin + rng.choice((4, 16, 64, 1000))]
            case _:
                data[at:end] = rng.choice(NUMBERS)
    return bytes(data[: 1 << 20])


def _change_number(data: bytearray, at: int, rng: random.Random) -> None:
    """Replace the next run of digits by another number."""
    while at < len(data) and not 48 <= data[at] <= 57:
        at += 1
    end = at
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    if end > at:
        data[at:end] = rng.choice(NUMBERS)
