"""A compute from inside: the one process that owns it, with scheduler, autoscaler and a coordinator per job."""
