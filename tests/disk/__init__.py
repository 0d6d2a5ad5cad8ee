"""The calls that safety rests on."""
