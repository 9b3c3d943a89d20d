"""Distinctiveness and reconstruction error of images, related to their memorability, on Dask."""

__version__ = "0.1.0"
