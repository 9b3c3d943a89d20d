"""The stages in order: what is missing is computed, what is there is left alone."""
