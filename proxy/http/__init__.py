"""HTTP on a lane: heads, bodies, streams and sockets, each step asked of the gate."""
