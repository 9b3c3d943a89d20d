"""The report: sentences, figures and how they came about, in one page."""
