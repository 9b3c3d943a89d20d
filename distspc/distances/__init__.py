"""From activations to nearest neighbours."""
