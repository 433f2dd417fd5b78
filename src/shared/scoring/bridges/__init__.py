"""Other people's metrics under our runner: one small file a vendor, each importing its vendor only when it is used."""
