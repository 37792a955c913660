"""The networks that edgefer knows, and the user's own."""
