//! The DHT: where what a (user, app) has published lies, and how it is found.
#![allow(dead_code, unused_imports, reason = "the machine that uses these parts comes next, and takes this line out")]

pub(crate) mod budget;
pub(crate) mod estimate;
pub(crate) mod id;
pub(crate) mod jar;
pub(crate) mod key;
mod log2;
pub(crate) mod proof;
pub(crate) mod rate;
pub(crate) mod realm;
pub(crate) mod record;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod wire;
