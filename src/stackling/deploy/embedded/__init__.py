"""One machine's cloud: the engines it runs and how they are brought up and taken down."""
