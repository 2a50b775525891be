"""A folder for each way to spare what has crossed of a row before; the rows' store and the room that they share."""
