"""Pictures for people: charts and contact sheets."""
