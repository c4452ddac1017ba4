"""What `orchestrator new` writes: for each pattern a team and its test, which run as they stand here.

A copy has another name for `my_team`, and imports the team from the file beside it. Nothing else is changed.
"""
