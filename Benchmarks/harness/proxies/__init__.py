"""Proxies in front of a model server, one module each, and what is sent through them."""
