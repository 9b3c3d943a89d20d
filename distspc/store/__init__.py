"""One Zarr store."""
