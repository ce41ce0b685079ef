"""The database: set-up, transactions with retry, tables, migrations, the work queue and the timeline."""
