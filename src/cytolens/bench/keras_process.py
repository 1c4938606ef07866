"""A program: Keras on TensorFlow does what it is told, as its tutorials do it.

One line of JSON in, `took SECONDS` out. It imports nothing of cytolens: torch must not be loaded.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 224
_BATCH = 32


def _read(path: str) -> Any:
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32) / 127.5 - 1  # [H, W, 3], as these networks want it


def _batches(files: list[str]) -> Iterator[Any]:
    """Read in two threads, a batch ahead."""
    with ThreadPoolExecutor(2) as pool:
        ahead: list[Any] = []
        for start in range(0, len(files), _BATCH):
            ahead.append([pool.submit(_read, file) for file in files[start : start + _BATCH]])
            if len(ahead) > 1:
                yield np.stack([one.result() for one in ahead.pop(0)])
        while ahead:
            yield np.stack([one.result() for one in ahead.pop(0)])


@lru_cache(maxsize=2)
def _body(network: str) -> Any:
    import keras

    make = getattr(keras.applications, network)
    body = make(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
    body.trainable = False
    return body


@lru_cache(maxsize=2)
def _classifier(network: str, classes: int) -> Any:
    import keras

    model = keras.Sequential([_body(network), keras.layers.Dense(classes, activation="softmax")])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def _generator(rotation: float, shift: float, zoom: float) -> Any:
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    return ImageDataGenerator(
        rotation_range=rotation,
        width_shift_range=shift,
        height_shift_range=shift,
        zoom_range=zoom,
        horizontal_flip=True,
        vertical_flip=True,
        fill_mode="reflect",
    )


def extract(network: str, files: list[str]) -> None:
    body = _body(network)
    for batch in _batches(files):
        body.predict_on_batch(batch)


def train(network: str, files: list[str], labels: list[int], classes: int, epochs: int) -> float:
    """Train a head on a frozen network: every image goes through all of it in every epoch.

    Returns:
        The seconds of training, without reading.
    """
    model = _classifier(network, classes)
    images, target = np.stack([_read(file) for file in files]), np.asarray(labels)
    started = time.perf_counter()
    model.fit(images, target, batch_size=_BATCH, epochs=epochs, verbose=0)
    return time.perf_counter() - started


def augment(file: str, side: int, count: int, **settings: float) -> None:
    image = np.asarray(Image.open(file).convert("RGB").resize((side, side)), np.float32)
    generator = _generator(**settings)
    for _ in range(count):
        generator.random_transform(image)


def expand(folder: str, out: str, count: int, side: int, **settings: float) -> None:
    """Write augmented copies of the images of class folders."""
    Path(out).mkdir(parents=True)
    flow = _generator(**settings).flow_from_directory(
        folder,
        target_size=(side, side),
        batch_size=_BATCH,
        save_to_dir=out,
        save_format="png",
        shuffle=False,
    )
    made = 0
    while made < count:
        made += len(next(flow)[0])


def main() -> None:
    works: dict[str, Callable[..., float | None]] = {
        work.__name__: work for work in (extract, train, augment, expand)
    }
    for line in sys.stdin:
        told = json.loads(line)
        work = works[told.pop("work")]
        started = time.perf_counter()
        spent = work(**told) or time.perf_counter() - started
        sys.stdout.write(f"took {spent}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
