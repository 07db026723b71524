//! `overcom` as a door: for programs in JSON Lines, for people in verbs, over one node for each data folder.

mod control;
#[cfg(unix)]
mod ending;
mod examples;
mod invitations;
mod metrics;
mod network;
mod peers;
mod places;
mod schema;
mod stdio;
mod verbs;
mod waiting;

use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{Home, besides, program};
use crate::piped::Piped;

/// A busy machine takes a second; who waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);
/// What every node of these tests listens on.
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// A conversation with a node in a process of its own: requests, their answers, and the notices between them.
struct Talk {
    node: Piped,
    asked: u64,
    /// Notices that came before an answer.
    notices: Vec<Value>,
    /// Every notice, waited for or not.
    told: Vec<Value>,
}

impl Talk {
    fn start(home: &Home) -> Self {
        Self::start_with(home, &[])
    }

    fn start_with(home: &Home, arguments: &[&str]) -> Self {
        let mut command = Command::new(program());
        let listen: &[&str] = if arguments.contains(&"--listen") { &[] } else { &LISTEN };
        command.arg("node").args(listen).args(arguments).env("XDG_DATA_HOME", &home.0);
        Self { node: Piped::start(command).expect("it greets"), asked: 0, notices: Vec::new(), told: Vec::new() }
    }

    /// The next line.
    fn line(&mut self) -> Value {
        let line = self.node.line(PATIENCE).expect("it runs").expect("a line comes in time");
        assert!(line.is_object(), "{line}");
        if line.get("notice").is_some() {
            self.told.push(line.clone());
        }
        line
    }

    fn write(&mut self, bytes: &[u8]) {
        self.node.write(bytes).expect("the node reads");
    }

    /// Asks, and gives the whole answer.
    fn ask(&mut self, op: &str, fields: Value) -> Value {
        self.asked += 1;
        let mut request = json!({ "id": self.asked, "op": op });
        request.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        self.write(format!("{request}\n").as_bytes());
        self.answer(self.asked)
    }

    fn answer(&mut self, id: u64) -> Value {
        loop {
            let line = self.line();
            if line.get("notice").is_none() {
                assert_eq!(line["id"], id, "{line}");
                return line;
            }
            self.notices.push(line);
        }
    }

    /// The value of an answer that must say yes.
    fn ok(&mut self, op: &str, fields: Value) -> Value {
        let answer = self.ask(op, fields);
        assert!(answer.get("error").is_none(), "{op}: {answer}");
        answer["ok"].clone()
    }

    /// The next notice of a kind; others are passed over.
    fn notice(&mut self, kind: &str) -> Value {
        while !self.notices.is_empty() {
            let notice = self.notices.remove(0);
            if notice["notice"] == kind {
                return notice;
            }
        }
        loop {
            let line = self.line();
            if line["notice"] == kind {
                return line;
            }
        }
    }

    fn user(&self) -> &str {
        self.node.user()
    }

    fn address(&self) -> &str {
        self.node.address()
    }

    /// Puts another node into this one's address book.
    fn meet(&mut self, other: &Self, name: &str) {
        self.ok("introduce", json!({ "user": other.user(), "addresses": [other.address()], "name": name }));
    }

    /// Ends the input; gives every notice that came, how the process ended, and what it said on standard error.
    fn end(mut self) -> (Vec<Value>, ExitStatus, String) {
        self.node.close();
        self.wait()
    }

    /// The same, with the input left open.
    fn wait(self) -> (Vec<Value>, ExitStatus, String) {
        let (last, status, errors) = self.node.wait(PATIENCE).expect("it ends");
        assert!(last.iter().all(Value::is_object), "{last:?}");
        ([self.told, last].concat(), status, besides(&errors))
    }

    /// What the process is known by.
    fn process(&self) -> u32 {
        self.node.id()
    }

    fn kill(self) {
        self.node.kill().expect("it runs");
    }
}
