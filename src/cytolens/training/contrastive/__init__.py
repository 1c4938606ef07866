"""The contrastive regime: losses over pairs, batches that have them, and the frozen encoder."""
