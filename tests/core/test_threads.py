"""One thread of BLAS for a while, and as many as before afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from cytolens.core.threads import one_blas_thread


def threads() -> int:
    """Return the number of threads of numpy's BLAS."""
    np.dot(np.ones(2), np.ones(2))
    return max(one["num_threads"] for one in threadpool_info() if "numpy" in one["filepath"])


@pytest.fixture(autouse=True)
def three() -> Iterator[None]:
    with threadpool_limits(limits=3, user_api="blas"):
        if threads() != 3:
            pytest.skip("numpy's BLAS has a single thread here")
        yield


def test_one_inside_and_as_before_outside() -> None:
    with one_blas_thread():
        assert threads() == 1
        with one_blas_thread():
            assert threads() == 1
        assert threads() == 1, "the outer block goes on"
    assert threads() == 3
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        raise ZeroDivisionError
    assert threads() == 3


def test_other_threads_change_nothing() -> None:
    def inside() -> int:
        with one_blas_thread():
            return threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(inside).result() == 3
    assert threads() == 3
