"""One job a file, read top to bottom: Config, stage functions, run(config, engine)."""
