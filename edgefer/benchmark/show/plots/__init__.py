"""The pictures of a page, drawn by matplotlib. What they show stands in a table beside them or in the JSON."""
