"""The archive of the purchases topic: how its objects are named, how its lines are written."""
