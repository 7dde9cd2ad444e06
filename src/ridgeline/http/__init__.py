"""The questions over HTTP: an application for any ASGI server, and the page that asks them."""
