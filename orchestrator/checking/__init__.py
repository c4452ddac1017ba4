"""What can go wrong with a team, told before it runs; and what went wrong, told of a store that was used."""
