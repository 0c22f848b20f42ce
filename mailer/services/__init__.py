"""What the system can do, one file per verb group. Shells know no more than this."""
