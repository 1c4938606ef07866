"""Work in many processes or on many machines: who does it, whether he can, and in what pieces."""
