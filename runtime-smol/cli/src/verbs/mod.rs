//! The verbs that speak with a node.

pub(crate) mod listen;
pub(crate) mod names;
pub(crate) mod node;
pub(crate) mod send;
pub(crate) mod why;
