"""Postfix's configuration as Postfix itself reads it: parameters, services, tables. Read only."""
