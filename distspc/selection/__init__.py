"""Images for the next experiment: factorial sets matched in all else, trial lists, power."""
