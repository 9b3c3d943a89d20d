"""What each cut of the distances costs, and which is chosen: plain data."""
