"""The papers that are reproduced: one folder each, everything in it is data."""
