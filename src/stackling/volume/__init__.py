"""Volumes and what belongs to them: snapshots, types, attachments, backups, groups, transfers."""
