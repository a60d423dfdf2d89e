"""Namespaces, links, graphs: who is who."""
