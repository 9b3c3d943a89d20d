"""The figures of the report, and the same drawn on axes of one's own."""
