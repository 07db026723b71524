//! What is wrong with a request, for programs and for people.

use overcom_core::{Address, CommandError, WireError};
use serde::{Deserialize, Serialize};

/// How many addresses may be named.
const ADDRESSES: &str = "name 1 to 8 addresses, HOST:PORT or [IPv6]:PORT, that others can dial";

/// An answer that says no: a code that stays the same, what is wrong, and the way out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Fault {
    pub(crate) fn new(code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), hint: hint.into() }
    }

    /// A field whose value is of no use.
    pub(crate) fn field(name: &str, why: impl std::fmt::Display, hint: impl Into<String>) -> Self {
        Self::new("bad_field", format!("the field {name} cannot be used: {why}"), hint)
    }

    pub(crate) fn disk(what: &str, why: impl std::fmt::Display) -> Self {
        Self::new("disk", format!("{what} could not be written: {why}"), "make room, or look at who may write there, and ask again")
    }

    /// The first of these addresses that nobody can be dialled at, by its name.
    ///
    /// # Errors
    /// Why that is so.
    pub(crate) fn dialled<'a>(addresses: impl IntoIterator<Item = &'a Address>) -> Result<(), Self> {
        let wrong = addresses.into_iter().find_map(|address| Some((address, address.undialled()?)));
        wrong
            .map_or(Ok(()), |(address, why)| Err(Self::new("bad_address", format!("others cannot dial {address}: {why}"), why.explain().1)))
    }

    /// The same, where a part was done before it went wrong.
    pub(crate) fn after(self, done: &str) -> Self {
        Self { message: format!("{done}: {}", self.message), ..self }
    }
}

impl From<CommandError> for Fault {
    fn from(why: CommandError) -> Self {
        let (code, hint) = match why {
            CommandError::Starting | CommandError::Busy => ("busy", "ask again in a moment"),
            CommandError::Suspended => ("busy", "start the node again"),
            CommandError::Full => ("full", "wait for the notice ready, then ask again"),
            CommandError::Payload(_) => ("bad_payload", "send JSON without repeated keys, at most 12 deep and 1 MiB less 1 KiB long"),
            CommandError::Kind => ("bad_type", "use a short name, for instance note"),
            CommandError::Address => ("bad_address", ADDRESSES),
            CommandError::Undialled(why) => ("bad_address", why.explain().1),
            CommandError::Places => {
                ("bad_address", "name the three at which others reach this device best; of a forwarded port, the outer one")
            }
            CommandError::Oneself => ("oneself", "name somebody else, or another device of yours"),
            CommandError::Renewal(_) => {
                ("not_renewed", "have the identity sign for this device: overcom id --request, then overcom delegate")
            }
            CommandError::Revocation(_) => ("bad_field", "have the identity sign it for this app"),
            CommandError::Life => ("bad_field", "say a number of seconds from 1 to 2592000"),
            CommandError::Nowhere => ("bad_address", "name an address at which others reach this machine"),
            CommandError::Invitations => ("full", "wait until one of them is over, or take one back: overcom invite --withdraw ID"),
            CommandError::Invitation(why) => ("bad_invitation", why.explain().1),
            CommandError::Expired => ("expired", "renew it: overcom delegate"),
            CommandError::Stopped | _ => ("stopped", "look at the disk and start the node again"),
        };
        // The way out stands in the hint, in this program's words; the text of the error would say it once more.
        let (cause, _) = why.explain();
        let message = if let CommandError::Payload(why) | CommandError::Renewal(why) | CommandError::Revocation(why) = why {
            format!("{cause}: {why}")
        } else if let CommandError::Invitation(why) = why {
            format!("{cause}: {}", why.explain().0)
        } else if let CommandError::Undialled(why) = why {
            format!("{cause}: {why}")
        } else {
            cause.into()
        };
        Self::new(code, message, hint)
    }
}

impl From<WireError> for Fault {
    fn from(why: WireError) -> Self {
        Self::new("bad_field", why.to_string(), "copy it again, whole")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_node_has_a_code_that_is_listed_and_a_way_out() {
        for why in CommandError::ALL {
            let fault = Fault::from(why);
            assert!(super::super::tests::listed("/$defs/error/properties/code/enum").contains(&fault.code), "{fault:?}");
            assert!(!fault.hint.is_empty() && !fault.message.is_empty());
            assert!(!fault.message.contains(&fault.hint) && !fault.message.contains(why.explain().1), "{fault:?}");
        }
        assert!(Fault::from(CommandError::Invitations).hint.contains("--withdraw"));
        let all: Vec<Address> = ["192.0.2.1:5", "224.0.0.1:5"].iter().flat_map(|at| at.parse()).collect();
        let fault = Fault::dialled(&all).expect_err("one is a group's");
        assert!(fault.message.contains("224.0.0.1:5: a multicast address"), "{fault:?}");
        assert_eq!((all.len(), Fault::dialled(&all[..1])), (2, Ok(())));
    }
}
