"""One job per file, read top to bottom: Config, stage functions, run(config, engine)."""
