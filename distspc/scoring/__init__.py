"""Measures of images that are not in a study, against the study as it is."""
