"""What a launch makes: one noun a file. Each step can be repeated and finds its work by tag."""
