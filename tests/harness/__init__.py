"""What the scenarios stand on: namespaces, packets, captures, puppets and tshark."""
