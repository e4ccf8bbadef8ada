"""Feed of the live screen: a thread that drains the sets' rings and makes Pictures, the values that screens draw."""
