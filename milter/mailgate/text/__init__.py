"""What mail text means: addresses that speak of other addresses."""
