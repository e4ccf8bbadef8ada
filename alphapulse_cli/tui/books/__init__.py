"""Drawing of books: ladders, the consolidated book, the depth chart, the lines beside them.

The Books screen itself is in `screens`.
"""
