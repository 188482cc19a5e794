"""`tokenguard doctor`: whether a server is one to which sessions can be left."""
