"""What is checked before anything is made: one noun a file. Nothing here changes anything."""
