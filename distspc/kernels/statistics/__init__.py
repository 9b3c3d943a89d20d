"""Correlations and what can be inferred from them."""
