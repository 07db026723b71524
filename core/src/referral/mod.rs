//! Finding people: the address book, dialling, and the search through people one is linked with.

pub(crate) mod book;
pub(crate) mod dial;
pub(crate) mod search;
