"""The clinic in a browser (pages) and for machines (`/api/v1`), over the same functions."""
