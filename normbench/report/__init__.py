"""Tables and charts: data in, text or files out."""
