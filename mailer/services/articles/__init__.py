"""Articles: read from feeds and pages, with their images and whoever else tells the story."""
