//! `overcom` as a door: for programs in JSON Lines, for people in verbs, over one node for each data folder.

mod control;
#[cfg(unix)]
mod ending;
mod examples;
mod invitations;
mod schema;
mod stdio;
mod verbs;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{Home, program};

/// A busy machine takes a second; who waits longer waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);
/// What every node of these tests listens on.
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

/// `overcom node` in a process of its own, and this test as the program that speaks with it.
struct Talk {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    errors: Option<thread::JoinHandle<String>>,
    hello: Value,
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
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let (out, mut err) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
        let (give, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line}"));
                if give.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = std::io::Read::read_to_string(&mut err, &mut text);
            text
        });
        let input = child.stdin.take();
        let mut talk =
            Self { child, input, lines, errors: Some(errors), hello: Value::Null, asked: 0, notices: Vec::new(), told: Vec::new() };
        talk.hello = talk.line();
        talk
    }

    /// The next line.
    fn line(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a line comes in time");
        if line.get("notice").is_some() {
            self.told.push(line.clone());
        }
        line
    }

    fn write(&mut self, bytes: &[u8]) {
        self.input.as_mut().expect("it is open").write_all(bytes).expect("the node reads");
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
        self.hello["hello"]["user"].as_str().expect("a user")
    }

    fn address(&self) -> &str {
        self.hello["hello"]["addresses"][0].as_str().expect("an address")
    }

    /// Puts another node into this one's address book.
    fn meet(&mut self, other: &Self, name: &str) {
        self.ok("introduce", json!({ "user": other.user(), "addresses": [other.address()], "name": name }));
    }

    /// Ends the input; gives every notice that came, how the process ended, and what it said on standard error.
    fn end(mut self) -> (Vec<Value>, ExitStatus, String) {
        drop(self.input.take());
        self.wait()
    }

    /// The same, with the input left open.
    fn wait(mut self) -> (Vec<Value>, ExitStatus, String) {
        let mut told = std::mem::take(&mut self.told);
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            told.push(line);
        }
        let status = self.child.wait().expect("it ends");
        let errors = self.errors.take().expect("it was started").join();
        (told, status, errors.expect("it reads"))
    }

    /// What the process is known by.
    fn process(&self) -> u32 {
        self.child.id()
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Talk {
    /// Of a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
