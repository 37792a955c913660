"""A benchmark's result as text for a terminal and as a page with pictures; both show the same tables."""
