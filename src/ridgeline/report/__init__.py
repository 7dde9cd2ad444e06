"""Reports: figures as plain data, and their files."""
