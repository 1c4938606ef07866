"""How a fold is learned: by training a network, or by fitting a classical classifier."""
