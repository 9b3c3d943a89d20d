"""From a profile to a Dask client: on this machine, through a batch queue, or at a scheduler that is there."""
