"""Two sites on one machine: namespaces or plain processes, arrays, systems, servers, and the links between them."""
