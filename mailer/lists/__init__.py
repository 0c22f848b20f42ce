"""Lists of readers as other programs export them: files with one reader a row."""
