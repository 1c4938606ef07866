"""Networks: backbones, weights and their cards, freezing as one cut, heads."""
