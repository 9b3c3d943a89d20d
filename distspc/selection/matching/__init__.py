"""Cells filled with images that match in all else: a mixed-integer program, swaps, and why there is no set."""
