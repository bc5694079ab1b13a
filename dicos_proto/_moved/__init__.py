"""Former module names: this folder is in the path of `dicos_proto`, so that imports by them still work."""
