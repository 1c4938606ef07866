"""Classical classifiers on deep, handcrafted or no features: the baselines."""
