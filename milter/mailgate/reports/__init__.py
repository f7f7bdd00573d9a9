"""Reports that the regulation asks for: their figures, and the page that is printed."""
