"""Synthetic stores and probes of workers, for tests."""
