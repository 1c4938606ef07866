"""Which image is train, validation or test in which fold; leaks are errors."""
