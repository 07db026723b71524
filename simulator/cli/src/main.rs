//! Under construction in this commit.
fn main() {}
