"""Activations that others made, taken over into the store: folders of .npy files, matrices with the images' names."""
