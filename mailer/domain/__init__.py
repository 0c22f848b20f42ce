"""Rules without I/O and without a clock: what is allowed, and what follows from what."""
