"""The only code that asks other services: a fact, or OSError or TimeoutError."""
