"""From measures and scores to correlations."""
