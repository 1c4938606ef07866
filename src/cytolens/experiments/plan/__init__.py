"""From a manifest to a commented recipe, chosen inside the training part alone."""
