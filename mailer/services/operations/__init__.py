"""Operations: what time makes due, how things stand, and going on after a restore."""
