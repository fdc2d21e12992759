"""What the page Faces has of its own: showing a face, people that are brought."""
