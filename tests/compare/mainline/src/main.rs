//! The work on mainline, the DHT of BitTorrent in Rust: a thread for each node, as it comes.

#![expect(deprecated, reason = "the blocking calls are the asynchronous ones without an executor; they do the same")]

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use compare_ruler::{Peer, VALUE};
use mainline::{Dht, MutableItem, SigningKey};

fn main() -> ExitCode {
    compare_ruler::main::<Mainline>()
}

struct Mainline(Vec<Dht>);

impl Peer for Mainline {
    const NAME: &str = "mainline 8.0.1";

    /// By the wire, all at once: its own test network either fills tables without any traffic or waits for one node after
    /// the other.
    fn start(nodes: usize) -> Result<Self, String> {
        let node = |entry: &[String]| {
            let mut builder = Dht::builder();
            builder.server_mode().bind_address(Ipv4Addr::LOCALHOST).bootstrap(entry);
            builder.build().map_err(|why| why.to_string())
        };
        let first = node(&[])?;
        let entry = [first.info().local_addr().to_string()];
        let mut all = vec![first];
        for _ in 1..nodes {
            all.push(node(&entry)?);
        }
        let joins: Vec<_> = all.iter().skip(1).cloned().map(|dht| thread::spawn(move || dht.bootstrapped())).collect();
        let joined = joins.into_iter().filter_map(|join| join.join().ok()).filter(|is_joined| *is_joined).count();
        if joined + 1 == nodes { Ok(Self(all)) } else { Err(format!("{joined} of {nodes} have joined")) }
    }

    fn rest(&mut self, time: Duration) -> Result<(), String> {
        thread::sleep(time);
        Ok(())
    }

    fn put(&mut self, writer: usize) -> Result<(), String> {
        let item = MutableItem::new(key(writer), VALUE, 1, None);
        self.0[writer].put_mutable(item, None).map(drop).map_err(|why| why.to_string())
    }

    /// It checks signatures itself.
    fn get(&mut self, reader: usize, writer: usize, first: &mut dyn FnMut()) -> Result<(), String> {
        let public = key(writer).verifying_key().to_bytes();
        for item in self.0[reader].get_mutable(&public, None, None) {
            if item.value() != VALUE {
                return Err(format!("read {:?}", item.value()));
            }
            first();
        }
        Ok(())
    }
}

/// The key under which a node writes.
fn key(writer: usize) -> SigningKey {
    let mut secret = [7; 32];
    for (byte, digit) in secret.iter_mut().zip((writer as u64).to_be_bytes()) {
        *byte = digit;
    }
    SigningKey::from_bytes(&secret)
}
