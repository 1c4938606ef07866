"""What the interface for machines takes and answers; `asked` goes in, the rest comes out."""
