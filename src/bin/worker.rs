//! The worker process: runs jobs from all queues until it is told to stop.
fn main() {}
