//! A process that has no file left for a connection: its node waits, does not spin, and goes on when there are files again.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::pin;
use std::process::Command;
use std::task::Context;
use std::thread;
use std::time::Duration;

use overcom_core::{AppId, Config};
use overcom_mio::Runtime;
use overcom_smol::Node;
use overcom_std::{Clock, MemoryStore, Setup, keys};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::shells::unparks_this_thread;

/// Files are a matter of the whole process, so this test runs in a child too, with this in its environment.
const RUNTIME: &str = "OVERCOM_TEST_RUNTIME";
const FILES: u64 = 128;
const PATIENCE: Duration = Duration::from_secs(20);

// spec-test: SHELL-13
#[test]
fn a_node_without_a_file_for_a_connection_waits_and_accepts_it_when_there_is_one() {
    if let Ok(runtime) = std::env::var(RUNTIME) {
        return without_files(&runtime);
    }
    for runtime in ["mio", "smol"] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "files::a_node_without_a_file_for_a_connection_waits_and_accepts_it_when_there_is_one"])
            .env(RUNTIME, runtime)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && said.contains("1 passed"), "{runtime}: {said}{}", String::from_utf8_lossy(&child.stderr));
    }
}

fn without_files(runtime: &str) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(FILES);
    setrlimit(Resource::Nofile, limit).unwrap();
    let credentials = keys::ephemeral(&AppId::new("files").unwrap(), Clock::start().wall()).unwrap();
    let setup = Setup::bind((Ipv4Addr::LOCALHOST, 0), Config::test(), credentials).unwrap();
    if runtime == "mio" {
        let mut node = Runtime::start(setup, MemoryStore::new()).unwrap();
        let address = node.local_addr();
        play(address, |span| {
            let (clock, mut turns) = (Clock::start(), 0);
            while age(&clock) < span {
                node.run_once(span.saturating_sub(age(&clock)), |_| {}).unwrap();
                turns += 1;
            }
            turns
        });
    } else {
        let (node, running) = Node::split(setup, MemoryStore::new()).unwrap();
        let mut running = pin!(running);
        let waker = unparks_this_thread();
        play(node.handle().local_addr(), |span| {
            let (clock, mut polls) = (Clock::start(), 0);
            while age(&clock) < span {
                assert!(running.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "the node ended");
                polls += 1;
                thread::park_timeout(span.saturating_sub(age(&clock)));
            }
            polls
        });
    }
}

fn age(clock: &Clock) -> Duration {
    clock.now().since(overcom_core::Time::ZERO)
}

/// `run` lets the node live for a while and says how often it was woken.
fn play(address: SocketAddr, mut run: impl FnMut(Duration) -> u32) {
    run(Duration::from_millis(300));
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(files.len() > 32 && files.pop().is_some(), "{} files were left", files.len());
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    client.set_nonblocking(true).unwrap();
    let woken = run(Duration::from_secs(3));
    assert!(woken < 40, "woken {woken} times in three seconds for a connection that it cannot accept");
    assert_eq!(client.read(&mut [0; 64]).unwrap_err().kind(), io::ErrorKind::WouldBlock, "it was accepted without a file");

    drop(files);
    let clock = Clock::start();
    while client.read(&mut [0; 64]).is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock) {
        assert!(age(&clock) < PATIENCE, "it was never accepted");
        run(Duration::from_millis(100));
    }
}
