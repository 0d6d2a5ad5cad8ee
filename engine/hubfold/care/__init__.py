"""Looking after what is there: verify, doctor, repairs, recovery."""
