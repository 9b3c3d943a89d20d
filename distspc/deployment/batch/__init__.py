"""Workers as jobs of a batch queue."""
