"""Distances between rows of matrices."""
