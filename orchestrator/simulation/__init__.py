"""A team under many schedules: virtual time, and a seed that says who goes on next."""
