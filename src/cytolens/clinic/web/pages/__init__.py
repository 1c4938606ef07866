"""Pages, a file a group."""
