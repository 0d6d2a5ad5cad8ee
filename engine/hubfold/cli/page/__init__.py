"""The page that `hubfold report --html` writes."""
