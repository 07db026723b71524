//! The verbs that speak with a node.

pub(crate) mod dht;
pub(crate) mod doctor;
pub(crate) mod enter;
pub(crate) mod find;
pub(crate) mod forget;
pub(crate) mod invite;
pub(crate) mod listen;
pub(crate) mod names;
pub(crate) mod node;
pub(crate) mod publish;
pub(crate) mod report;
pub(crate) mod revoke;
pub(crate) mod send;
pub(crate) mod stop;
pub(crate) mod why;
