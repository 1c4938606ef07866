"""What each section of a report says, as plain values; the templates only set it in type."""
