"""The study file, and the images that it names."""
