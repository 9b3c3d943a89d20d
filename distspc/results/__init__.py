"""The store as tables."""
