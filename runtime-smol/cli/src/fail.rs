//! What went wrong, in one sentence with the way out, and the exit code that goes with it.

use std::fmt;
use std::process::ExitCode;

use async_signal::Signal;
use overcom_std::keys::KeyError;

use crate::proto::Fault;
use crate::signal;

/// As if the system had ended it for writing where nobody reads: 128 and SIGPIPE's number.
const NO_READER: u8 = 141;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Fail {
    sentence: String,
    code: u8,
    /// The signal that asked for the end.
    asked: Option<Signal>,
}

impl Fail {
    /// Something outside did not work: exit code 1.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self::new(sentence, 1)
    }

    /// What was typed or handed in cannot be used: exit code 2.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self::new(sentence, 2)
    }

    /// It is kept and tried again, but not done yet: exit code 3.
    pub(crate) fn later(sentence: impl Into<String>) -> Self {
        Self::new(sentence, 3)
    }

    /// A signal asked this process to end before it was done.
    pub(crate) fn asked(signal: Signal) -> Self {
        let name = if signal == Signal::Int { "Ctrl-C" } else { "a signal" };
        let sentence = format!("ended by {name} before it was done");
        Self { asked: Some(signal), ..Self::new(sentence, signal::code(signal)) }
    }

    /// Standard output could not be written to, for whom a node is run.
    #[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands over")]
    pub(crate) fn deaf(why: std::io::Error) -> Self {
        if why.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::failed(format!("standard output was closed ({why}); read every line until its end"));
        }
        Self::failed(format!("standard output cannot be written: {}", overcom_std::advice(&why)))
    }

    /// Whether a signal asked for it.
    pub(crate) const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether nobody wants to hear of it: who read the answer has gone.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.code == NO_READER
    }

    fn new(sentence: impl Into<String>, code: u8) -> Self {
        Self { sentence: sentence.into(), code, asked: None }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl From<std::io::Error> for Fail {
    /// Of writing the answer: everything else that can go wrong is named where it does.
    fn from(why: std::io::Error) -> Self {
        let code = if why.kind() == std::io::ErrorKind::BrokenPipe { NO_READER } else { 1 };
        Self::new(format!("the answer could not be written: {}", overcom_std::advice(&why)), code)
    }
}

impl From<Fault> for Fail {
    fn from(fault: Fault) -> Self {
        let sentence = format!("{}; {}", fault.message, fault.hint);
        // What was typed is wrong, or something outside does not work.
        match fault.code.as_str() {
            "busy" | "full" | "stopped" | "disk" | "expired" | "no_identity" | "not_renewed" => Self::failed(sentence),
            _ => Self::usage(sentence),
        }
    }
}

impl From<KeyError> for Fail {
    fn from(why: KeyError) -> Self {
        Self::failed(why.to_string())
    }
}
