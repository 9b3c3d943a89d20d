"""From activations to reconstruction errors."""
