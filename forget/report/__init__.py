"""What is handed out: figures, files of a result, the report of a comparison."""
