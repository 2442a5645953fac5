"""Each known way in which a second ensemble comes about, or one that holds different data, or that cannot form again."""
