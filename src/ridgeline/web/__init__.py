"""The explorer: its built page, made from `web/` by `make web`."""
