"""What AWS would charge for what the functions do, from counted calls. ``make cost`` writes docs/cost.md."""
