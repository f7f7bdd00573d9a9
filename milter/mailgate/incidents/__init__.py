"""The security incident log: one hash-chained line for each thing that a reviewer must see."""
