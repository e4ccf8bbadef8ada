"""Books told and drawn: ladders, the consolidated book, the depth chart, the lines beside them; the Books screen itself is in `screens`."""
