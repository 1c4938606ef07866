"""What is frozen is computed once: engines and the content-addressed store."""
