"""NumPy in, NumPy out: the numerical core, without Dask, xarray, paths or logging."""
