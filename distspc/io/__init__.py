"""Files that users hand over, read with care."""
