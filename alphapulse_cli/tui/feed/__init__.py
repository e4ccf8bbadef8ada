"""Feed of the live screen: a thread that drains the sets' rings and makes a Picture, the values that screens draw."""
