//! `overcom node` in a process of its own, with lines on its standard input and output: one client for tests and figures.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

/// How long a node may take to greet on a busy machine.
const GREETED_MAX: Duration = Duration::from_secs(30);

/// A node, and this process as the program that speaks with it.
pub(crate) struct Piped {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<Value>,
    errors: Option<JoinHandle<String>>,
    /// Its first line.
    pub(crate) hello: Value,
}

#[allow(dead_code, reason = "tests and figures ask for different parts of it")]
impl Piped {
    /// On a data folder, listening there.
    pub(crate) fn on(program: &Path, folder: &Path, listen: &str) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.args(["node", "--listen", listen, "--data"]).arg(folder);
        Self::start(command)
    }

    /// Started by a command of the caller's; it has greeted.
    pub(crate) fn start(mut command: Command) -> Result<Self, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|why| format!("overcom node: {why}"))?;
        let (Some(out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else { return Err("its pipes are missing".into()) };
        let (give, lines) = channel();
        thread::spawn(move || {
            // What is no JSON is given as text, which nobody takes for an answer.
            let values = BufReader::new(out).lines().map_while(Result::ok);
            let _ = values.map(|line| serde_json::from_str(&line).unwrap_or(Value::String(line))).try_for_each(|value| give.send(value));
        });
        let errors = thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        let input = child.stdin.take();
        let mut piped = Self { child, input, lines, errors: Some(errors), hello: Value::Null };
        piped.hello = piped.line(GREETED_MAX)?.ok_or("overcom node does not greet")?;
        if piped.text("/hello/user").is_none() || piped.text("/hello/addresses/0").is_none() {
            return Err(format!("a strange greeting: {}", piped.hello));
        }
        Ok(piped)
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn user(&self) -> &str {
        self.text("/hello/user").unwrap_or_default()
    }

    pub(crate) fn address(&self) -> &str {
        self.text("/hello/addresses/0").unwrap_or_default()
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.hello.pointer(pointer).and_then(Value::as_str)
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let input = self.input.as_mut().ok_or("its input is closed")?;
        input.write_all(bytes).map_err(|why| format!("overcom node does not read: {why}"))
    }

    /// The next line, if one comes in time.
    pub(crate) fn line(&self, most: Duration) -> Result<Option<Value>, String> {
        match self.lines.recv_timeout(most) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("overcom node has ended".into()),
        }
    }

    /// Every line that is there.
    pub(crate) fn rest(&self) -> impl Iterator<Item = Value> + '_ {
        self.lines.try_iter()
    }

    /// As kill -9 does; gives what it had written before, without a line that was cut.
    pub(crate) fn kill(mut self) -> Result<Vec<Value>, String> {
        self.child.kill().and_then(|()| self.child.wait()).map_err(|why| why.to_string())?;
        // The thread that reads ends with the pipe.
        let lines = std::mem::replace(&mut self.lines, channel().1);
        Ok(lines.into_iter().filter(|line| !line.is_string()).collect())
    }

    /// Ends its input.
    pub(crate) fn close(&mut self) {
        drop(self.input.take());
    }

    /// Waits for its end; gives the lines that still came, each within `most`, how it ended, and what it said on standard error.
    pub(crate) fn wait(mut self, most: Duration) -> Result<(Vec<Value>, ExitStatus, String), String> {
        let mut last = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(most) {
            last.push(line);
        }
        let status = self.child.wait().map_err(|why| why.to_string())?;
        let errors = self.errors.take().and_then(|thread| thread.join().ok()).ok_or("nobody read its errors")?;
        Ok((last, status, errors))
    }
}

impl Drop for Piped {
    /// Of a test that failed.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
