"""Trial lists of a selection: counterbalanced, as files of experiment programs, with their images."""
