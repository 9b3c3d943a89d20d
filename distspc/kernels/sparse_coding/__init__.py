"""Sparse coding and the models beside it."""
