//! What went wrong, in one sentence with the way out, and the exit code that goes with it.

use std::fmt;
use std::process::ExitCode;

use overcom_std::keys::KeyError;

use crate::proto::Fault;

/// Why a verb did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Fail {
    sentence: String,
    code: u8,
}

impl Fail {
    /// Something outside did not work: exit code 1.
    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: 1 }
    }

    /// What was typed or handed in cannot be used: exit code 2.
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: 2 }
    }

    /// It is kept and tried again, but not done yet: exit code 3.
    pub(crate) fn later(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into(), code: 3 }
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
        Self::failed(format!("the answer could not be written: {why}"))
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
