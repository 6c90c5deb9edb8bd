"""The truth bank: what every idea of the catalogue, and things that only look like ideas, really do to the trainer."""
