"""What planner, lowerings, twin and doors stand on: the table of kinds, both forms of ops."""
