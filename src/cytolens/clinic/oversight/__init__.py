"""What a director sees: figures, agreement, drift, the quality sample. Never a patient's name."""
