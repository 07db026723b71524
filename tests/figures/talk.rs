//! `overcom node`, spoken with from this process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// A node in a process of its own.
pub(crate) struct Talk {
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    pub(crate) user: String,
    pub(crate) address: String,
}

impl Talk {
    /// On a data folder, listening there.
    pub(crate) fn start(program: &Path, folder: &Path, listen: &str) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(["node", "--listen", listen, "--data"]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|why| format!("overcom node: {why}"))?;
        let (Some(input), Some(out)) = (child.stdin.take(), child.stdout.take()) else { return Err("its pipes are missing".into()) };
        let (give, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.map_while(|line| serde_json::from_str(&line).ok()).try_for_each(|line: Value| give.send(line))
        });
        let mut talk = Self { child, input, lines, user: String::new(), address: String::new() };
        let hello = talk.line(Duration::from_secs(30))?.ok_or("overcom node does not greet")?;
        let text = |pointer: &str| hello.pointer(pointer).and_then(Value::as_str).map(str::to_owned).ok_or("a strange greeting");
        (talk.user, talk.address) = (text("/hello/user")?, text("/hello/addresses/0")?);
        Ok(talk)
    }

    pub(crate) fn write(&mut self, line: &str) -> Result<(), String> {
        self.input.write_all(line.as_bytes()).map_err(|why| format!("overcom node does not read: {why}"))
    }

    /// The next line, if one comes in time.
    pub(crate) fn line(&self, most: Duration) -> Result<Option<Value>, String> {
        match self.lines.recv_timeout(most) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("overcom node has ended".into()),
        }
    }

    /// Every line that is there, or was when it was killed.
    pub(crate) fn rest(&self) -> impl Iterator<Item = Value> + '_ {
        self.lines.try_iter()
    }

    /// As kill -9 does; gives what it had written before.
    pub(crate) fn kill(mut self) -> Result<Vec<Value>, String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|why| why.to_string())?;
        // The thread that reads ends with the pipe.
        let lines = std::mem::replace(&mut self.lines, channel().1);
        Ok(lines.into_iter().collect())
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
