"""Files of any layout as rows of the seed layout: detection, mapping, reading."""
