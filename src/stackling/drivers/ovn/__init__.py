"""The network fabric on OVN: desired objects compiled to rows of the northbound database."""
