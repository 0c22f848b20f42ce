"""Privacy: everything about one person, the end of it, and how long anything is kept."""
