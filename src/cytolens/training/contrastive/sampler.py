"""Batches with the same number of images of each class, drawn from a seed of our own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cytolens.core.seeding import rng
from cytolens.training.contrastive.config import ContrastiveConfig

Rows = NDArray[np.int64]


def balanced_batches(
    rows: Rows, labels: Rows, config: ContrastiveConfig, seed: int, *names: str | int
) -> list[Rows]:
    """Return the batches of one epoch, the same for the same seed and names.

    A batch holds as many classes as have room with `images_a_class` images each, and batch //
    classes images of each; a class with fewer gives all it has. An epoch has as many batches as
    it takes to see as many images as there are. Within a class the images take turns: none is
    drawn twice more than another, and none twice in a batch. Small classes are drawn more often
    than large ones.

    Args:
        rows: int64, the images of the training part.
        labels: int64 [len(rows)], their classes.
        seed, names: of the generator, such as ("pairs", repeat, fold, epoch).
    """
    random = rng(seed, *names)
    members = [rows[labels == c] for c in np.unique(labels)]
    width = min(len(members), config.batch // config.images_a_class)
    height = config.batch // width
    drawn = width * float(np.mean([min(height, len(some)) for some in members]))  # a batch
    count = math.ceil(len(rows) / drawn)
    classes = _turns(np.arange(len(members)), [width] * count, random)
    sizes = [height] * sum(map(len, classes))
    decks = [iter(_turns(some, sizes, random)) for some in members]
    return [np.concatenate([next(decks[c]) for c in chosen.tolist()]) for chosen in classes]


def _turns(things: Rows, sizes: Sequence[int], random: np.random.Generator) -> list[Rows]:
    """Deal hands of these sizes, shuffling anew when all had their turn; no hand has one twice."""
    hands = []
    deck = things[:0]
    for size in sizes:
        size = min(size, len(things))
        hand = deck[:size]
        deck = deck[size:]
        if len(hand) < size:
            deck = random.permutation(things)
            late = np.isin(deck, hand)  # they had their turn a moment ago
            fresh, deck = deck[~late], deck[late]
            missing = size - len(hand)
            hand = np.concatenate([hand, fresh[:missing]])
            deck = random.permutation(np.concatenate([fresh[missing:], deck]))
        hands.append(hand)
    return hands
