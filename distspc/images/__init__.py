"""Image files: found, decoded, listed."""
