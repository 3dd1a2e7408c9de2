"""The files of one job's folder: what was asked, the plan, the ledger, the decision, and where it stands.

Nothing here runs anything. Clients and hosts meet in these files and nowhere else.
"""
