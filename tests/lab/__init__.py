"""The lab: machines made of namespaces, and clusters of them."""
