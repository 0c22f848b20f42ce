"""Imports: lists of readers from elsewhere, with where their consent comes from."""
