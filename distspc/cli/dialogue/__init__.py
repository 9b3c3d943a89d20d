"""What is said to the user and asked: speech, progress, tables, questions, the browser."""
