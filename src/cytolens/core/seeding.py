"""All randomness comes from one seed, spawned by name, so that parts never share a stream."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_sequence(seed: int, *names: str | int) -> np.random.SeedSequence:
    """Return the `SeedSequence` of `seed` for the part called `names` (order matters).

    Names are hashed to a spawn key, so adding a part never shifts the stream of another.
    """
    digest = hashlib.sha256("\x1f".join(str(n) for n in names).encode()).digest()
    key = tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.SeedSequence(entropy=seed, spawn_key=key)


def rng(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of `seed` for the part called `names`."""
    return np.random.default_rng(seed_sequence(seed, *names))


def torch_seed(seed: int, *names: str | int) -> int:
    """Return a 63-bit integer for `torch.Generator.manual_seed`."""
    words = seed_sequence(seed, *names).generate_state(2, np.uint32)
    return (int(words[0]) << 31) ^ int(words[1])
