"""The numerical core: NumPy in, NumPy out."""
