//! The keys of a running node: its delegation is renewed here, if the identity is kept here.

use std::path::PathBuf;

use overcom_core::{Credentials, Delegation};
use overcom_std::Clock;
use overcom_std::keys::{DELEGATION_LENGTH, DeviceFile, IdentityFile, delegate};

use crate::proto::Fault;

/// A device's key file, and where its identity may be.
pub(crate) struct Keeper {
    device: DeviceFile,
    identity: PathBuf,
    /// What the node uses and the key file could not take.
    unwritten: Option<Delegation>,
}

impl Keeper {
    pub(crate) const fn new(device: DeviceFile, identity: PathBuf) -> Self {
        Self { device, identity, unwritten: None }
    }

    /// The one that the node uses.
    pub(crate) const fn delegation(&self) -> Option<&Delegation> {
        match &self.unwritten {
            Some(unwritten) => Some(unwritten),
            None => self.device.delegation(),
        }
    }

    /// Whether the node uses it, but the key file could not take it.
    pub(crate) fn is_unwritten(&self, delegation: &Delegation) -> bool {
        self.unwritten.as_ref() == Some(delegation)
    }

    pub(crate) fn credentials(&self) -> Option<Credentials> {
        self.device.credentials()
    }

    pub(crate) fn has_identity(&self) -> bool {
        self.identity.exists()
    }

    /// The delegation to use from now on: the one that was put into the key file meanwhile, or a newly signed one.
    pub(crate) fn next(&self) -> Result<Delegation, Fault> {
        let installed = DeviceFile::open(self.device.path()).ok().and_then(|file| file.delegation().cloned());
        let installed = installed.filter(|installed| Some(installed) != self.device.delegation());
        match installed {
            Some(installed) => Ok(installed),
            None => self.signed(),
        }
    }

    /// Another delegation for this device, from now on, as long as the usual one.
    fn signed(&self) -> Result<Delegation, Fault> {
        let hint =
            "sign it where the identity is: overcom id --request here, overcom delegate --request there, overcom delegate --install here";
        if !self.has_identity() {
            return Err(Fault::new("no_identity", "the identity is not kept here", hint));
        }
        let identity = IdentityFile::open(&self.identity).map_err(|why| Fault::new("no_identity", why.to_string(), hint))?;
        let Some(present) = self.delegation() else {
            return Err(Fault::new("expired", "this device has no delegation", "make one: overcom delegate"));
        };
        let now = Clock::start().wall();
        delegate(identity.secret(), self.device.keys().grant(present.app().clone(), now, now), now, DELEGATION_LENGTH)
            .map_err(|why| Fault::new("not_renewed", why.to_string(), "is this machine's clock right?"))
    }

    /// Keeps it for the next start.
    pub(crate) fn keep(&mut self, delegation: Delegation) -> Result<(), Fault> {
        self.unwritten = Some(delegation.clone());
        self.device.keep(delegation).map_err(|why| Fault::disk("the key file", why))?;
        self.unwritten = None;
        Ok(())
    }
}
