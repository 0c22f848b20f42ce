"""Campaigns: made, checked, prepared, started, stopped, corrected and reported."""
