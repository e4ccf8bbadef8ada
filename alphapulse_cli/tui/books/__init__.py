"""What is told and drawn of books, as lines; no widgets."""
