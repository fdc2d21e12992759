"""What pages draw with: the canvas, charts, pictures, lists of findings."""
