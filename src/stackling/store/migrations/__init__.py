"""Alembic's migrations. A migration must let the code of the version before go on working (nodes upgrade in turn)."""
