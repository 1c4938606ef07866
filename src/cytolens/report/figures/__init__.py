"""One figure a file: plain values in, a matplotlib `Figure` out; `canvas` saves it."""
