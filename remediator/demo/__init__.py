"""What `remediator demo` and the tests need of the world: simulated neighbours, each a process of its own."""
