"""Streams by name: the same for the same name, of no relation to one another."""

from __future__ import annotations

import numpy as np
import torch

from cytolens.core.seeding import rng, torch_seed


def test_the_same_name_gives_the_same_stream_whatever_was_drawn_before() -> None:
    first = rng(7, "order", 0, 3).random(5)
    rng(7, "another").random(100)
    assert np.array_equal(first, rng(7, "order", 0, 3).random(5))


def test_golden_values_do_not_move() -> None:
    """A change here changes every published number: it must be meant."""
    assert rng(0, "view", "x.png", 1).integers(0, 1000, 4).tolist() == [3, 253, 733, 702]
    assert torch_seed(3, "dropout", 0, 1) == 3854112032597702379


def test_names_their_order_and_the_seed_all_matter() -> None:
    streams = {
        tuple(rng(*arguments).integers(0, 2**60, 4).tolist())
        for arguments in (
            (0, "a", "b"),
            (0, "b", "a"),
            (1, "a", "b"),
            (0, "ab"),
            (0, "a"),
            (0,),
            (0, "a", 1),
            (0, "a", 11),
            (0, "a", 1, 1),
        )
    }
    assert len(streams) == 9


def test_streams_are_not_correlated() -> None:
    draws = np.stack([rng(0, "view", "x.png", v).standard_normal(4000) for v in range(8)])
    off = np.corrcoef(draws)[~np.eye(8, dtype=bool)]
    assert np.abs(off).max() < 0.08  # five standard errors of 1 / sqrt(4000)


def test_no_global_generator_is_touched() -> None:
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    rng(3, "a").random(9)
    torch_seed(3, "a")
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_torch_seeds_fit_63_bits_and_differ() -> None:
    seeds = [torch_seed(0, "dropout", i) for i in range(500)]
    assert len(set(seeds)) == 500
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62  # all the bits are used
    torch.Generator().manual_seed(max(seeds))
