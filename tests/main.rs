//! Scenarios, snapshots and checks that need every crate, in one binary, so that they link once.

mod cli;
mod conformance;
mod corpus;
mod demo;
mod door;
mod dual;
mod example;
mod files;
mod numbers;
mod piped;
mod program;
mod promises;
mod scratch;
mod scripts;
mod shells;
mod snapshots;
mod street;
mod tidy;
mod todo;
mod tutorial;
