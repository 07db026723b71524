//! What each request does.

use std::net::SocketAddr;
use std::time::Duration;

use overcom_core::{
    Address, Command, CommandError, Delegation, DhtPolicy, DhtReach, DhtView, Entry, Invitation, InvitationId, MESSAGE_LIFE, Message, Node,
    Revocation, Send,
};
use serde_json::{Value, json};

use super::{Ending, Hub, SessionId};
use crate::data::date;
use crate::proto::{EntryLine, Fault, InvitationLine, LinkLine, NOTICES, Op, OutboxLine, Why};

/// An invitation's life when nobody says: long enough to be read the next day (guess).
const INVITATION_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// What may be told of a device beside what others see.
const UNPUBLISHED: &str =
    "name at most 8 addresses, IP:PORT or [IPv6]:PORT, at which others reach this device; without any what others see is told";
/// Links and messages that one answer shows; it says how many there are (guess: some 30 KB).
const SHOWN_MAX: usize = 256;

/// Whether a node knows others of its machine, or is to enter by one.
fn knows_this_machine(node: &Node) -> bool {
    let is_here = |address: &Address| match address {
        Address::Ip(at) => at.ip().to_canonical().is_loopback(),
        Address::Name { name, .. } => name == "localhost",
        _ => false,
    };
    let knows = |dht: DhtView| dht.realms.iter().any(|realm| realm.reach == DhtReach::Loopback && realm.nodes > 0);
    node.dht().is_some_and(knows) || node.inspect().entries.iter().any(|view| is_here(&view.entry.address))
}

impl Hub {
    pub(super) async fn carry_out(&mut self, session: SessionId, op: Op) -> Result<Value, Fault> {
        match op {
            Op::Send { .. } => self.send(op).await,
            Op::Find { user } => {
                let user = self.book.find(&user)?;
                self.command(Command::find(user)).await
            }
            Op::Locate { user, app, device } => {
                let user = self.book.find(&user)?;
                self.command(Command::Locate { user, app, device }).await
            }
            Op::Dht => self.dht().await,
            Op::Publish { policy, addresses } => self.publish(policy, addresses).await,
            Op::Introduce { user, addresses, name } => self.introduce(&user, addresses, name).await,
            Op::Forget { user } => {
                let user = self.book.find(&user)?;
                self.command(Command::forget(user)).await
            }
            Op::Invite { life_s, addresses } => {
                Fault::dialled(&addresses)?;
                self.command(Command::invite(life_s.map_or(INVITATION_LIFE, Duration::from_secs), addresses)).await
            }
            Op::Join { line } => self.join(invitation(&line)?).await,
            Op::Invitations => self.invitations().await,
            Op::Withdraw { invitation } => self.withdraw(invitation).await,
            Op::Names => self.names().await,
            Op::Name { name, user: Some(user) } => {
                let user = self.book.find(&user)?;
                self.book.add(&name, user)?;
                Ok(json!({ "name": name, "user": user.to_string() }))
            }
            Op::Name { name, user: None } => Ok(json!({ "name": name, "user": self.book.remove(&name)?.to_string() })),
            Op::Why { user } => {
                let user = self.book.find(&user)?;
                let explained = self.look(move |node| node.explain(user)).await?;
                shown(Why::from(explained))
            }
            Op::Status => self.status().await,
            Op::Links => self
                .look(|node| (node.links().count(), node.links().take(SHOWN_MAX).map(LinkLine::from).collect::<Vec<_>>()))
                .await
                .map(|(count, links)| json!({ "count": count, "links": links })),
            Op::Outbox => self
                .look(|node| (node.outbox().count(), node.outbox().take(SHOWN_MAX).map(OutboxLine::from).collect::<Vec<_>>()))
                .await
                .map(|(count, messages)| json!({ "count": count, "messages": messages })),
            Op::Renew { delegation: Some(json) } => self.renew(delegation(&json)?).await,
            Op::Renew { delegation: None } => {
                let next = self.keeper.next()?;
                self.renew(next).await
            }
            Op::Revoke { revocation } => self.revoke(&revocation).await,
            Op::Enter { entries } => self.enter(entries).await,
            Op::Entries => self.entries().await,
            Op::Listen { notices, types } => self.listen(session, notices, types),
            Op::Credit => {
                if let Some(session) = self.sessions.get_mut(&session) {
                    session.is_explicit = true;
                }
                Ok(json!({}))
            }
            Op::Taken { notices } => self.taken(session, notices),
            Op::Stop => {
                self.ending = Some(Ending::Asked);
                Ok(json!({}))
            }
        }
    }

    async fn send(&self, op: Op) -> Result<Value, Fault> {
        let Op::Send { to, device, kind, payload, keep, life_s } = op else { return Ok(Value::Null) };
        let message = Message::from_text(&kind, payload.as_deref().unwrap_or("null"))?;
        let life = life_s.map_or(MESSAGE_LIFE, Duration::from_secs);
        if life > MESSAGE_LIFE {
            let hint = format!("it is to be at most {} seconds, 7 days", MESSAGE_LIFE.as_secs());
            return Err(Fault::field("life_s", "no message is kept for so long", hint));
        }
        let mut send = Send::new(self.book.find(&to)?, message).keep(keep).life(life);
        send.device = device;
        self.command(send).await
    }

    async fn introduce(&mut self, user: &str, addresses: Vec<Address>, name: Option<String>) -> Result<Value, Fault> {
        let user = self.book.find(user)?;
        // Before anything is changed: who is refused shall find everything as it was.
        if let Some(name) = &name {
            self.book.check(name)?;
        }
        Fault::dialled(&addresses)?;
        let done = self.command(Command::introduce(user, addresses)).await?;
        if let Some(name) = name {
            self.book.add(&name, user).map_err(|fault| fault.after("the addresses are known, the name is not"))?;
        }
        Ok(done)
    }

    async fn dht(&self) -> Result<Value, Fault> {
        let look = |node: &Node| (node.dht(), (node.publishing(), node.told_until(), node.is_leaving()));
        let (dht, (said, until, is_leaving)) = self.look(look).await?;
        let suspected = self.eclipse.map(|at| self.clock.now().since(at).as_secs());
        let publish = json!({
            "policy": said.policy,
            "addresses": said.addresses,
            "told_until_ms": until.map(|until| until.as_millis()),
            "is_leaving": is_leaving,
        });
        shown(json!({ "dht": dht, "publish": publish, "eclipse_suspected_s": suspected, "is_forked": self.is_forked }))
    }

    async fn publish(&self, policy: DhtPolicy, addresses: Vec<SocketAddr>) -> Result<Value, Fault> {
        if policy != DhtPolicy::Everyone && !addresses.is_empty() {
            let is_nobody = policy == DhtPolicy::Nobody;
            let nobody = "nobody is told anything, so there is nobody to tell an address";
            let why = if is_nobody { nobody } else { "contacts are told no address by the network, so there is nobody to tell this one" };
            return Err(Fault::field("addresses", why, "leave the addresses out, or say everyone, who are told them"));
        }
        Fault::dialled(&addresses.iter().copied().map(Address::Ip).collect::<Vec<_>>())?;
        // Whoever is told of this machine alone is a node of it.
        if let Some(at) = addresses.iter().find(|at| at.ip().to_canonical().is_loopback())
            && !self.look(knows_this_machine).await?
        {
            let message = format!("{at} means this machine alone, and no other node of it is known who could be told");
            return Err(Fault::new("bad_address", message, "name an address at which others reach this device"));
        }
        // None at all is allowed here, which the usual words deny.
        let wrong = |fault: Fault| {
            if fault.message == CommandError::Address.explain().0 { Fault { hint: UNPUBLISHED.into(), ..fault } } else { fault }
        };
        self.command(Command::publish(policy, addresses)).await.map_err(wrong)
    }

    async fn join(&self, invitation: Invitation) -> Result<Value, Fault> {
        let until = invitation.until();
        self.command(Command::join(invitation)).await.map_err(|fault| {
            let now = self.clock.wall();
            if fault.code != "bad_invitation" || now < until {
                return fault;
            }
            let message = format!("the invitation's time ended {}, and it is {} by this machine", date(until), date(now));
            Fault { message, ..fault }
        })
    }

    async fn enter(&self, entries: Vec<Entry>) -> Result<Value, Fault> {
        Fault::dialled(entries.iter().map(|entry| &entry.address))?;
        self.command(Command::enter(entries)).await
    }

    async fn entries(&self) -> Result<Value, Fault> {
        let entries: Vec<_> = self.look(|node| node.inspect().entries.iter().map(EntryLine::new).collect()).await?;
        Ok(json!({ "entries": entries }))
    }

    async fn revoke(&self, json: &str) -> Result<Value, Fault> {
        let revocation = Revocation::from_json(json.as_bytes()).map_err(|why| Fault::field("revocation", why, why.explain().1))?;
        self.command(Command::revoke(revocation)).await
    }

    async fn invitations(&self) -> Result<Value, Fault> {
        let open = self.look(|node| node.invitations().collect::<Vec<_>>()).await?;
        let lines: Vec<_> = open.into_iter().map(|view| InvitationLine::new(view, |user| self.book.name_of(user))).collect();
        shown(json!({ "invitations": lines }))
    }

    async fn withdraw(&self, invitation: InvitationId) -> Result<Value, Fault> {
        if !self.look(move |node| node.invitations().any(|open| open.id == invitation)).await? {
            let hint = "look at what is open: the op invitations, or overcom invite --list";
            return Err(Fault::new("bad_invitation", format!("there is no invitation {invitation} of this node"), hint));
        }
        self.command(Command::withdraw(invitation)).await
    }

    async fn command(&self, command: impl Into<Command>) -> Result<Value, Fault> {
        let tag = self.handle.send(command).await?;
        Ok(json!({ "tag": tag.number() }))
    }

    async fn look<R: std::marker::Send + 'static>(&self, look: impl FnOnce(&Node) -> R + std::marker::Send + 'static) -> Result<R, Fault> {
        Ok(self.handle.look(look).await?)
    }

    async fn names(&self) -> Result<Value, Fault> {
        let known = self.look(|node| node.inspect().book).await?;
        let names: serde_json::Map<String, Value> = self.book.names().map(|(name, user)| (name.into(), user.to_string().into())).collect();
        let unnamed = known.into_iter().filter(|user| self.book.name_of(*user).is_none());
        Ok(json!({ "names": names, "unnamed": unnamed.take(SHOWN_MAX).map(|user| user.to_string()).collect::<Vec<_>>() }))
    }

    /// Puts a delegation in the place of the present one, in the node and then in the key file: the node refuses what the
    /// next start could not use.
    pub(super) async fn renew(&mut self, delegation: Delegation) -> Result<Value, Fault> {
        let until = delegation.until().as_millis();
        // The node takes it once; the file is tried as often as somebody asks.
        if !self.keeper.is_unwritten(&delegation) {
            self.handle.send(Command::renew(delegation.clone())).await?;
        }
        self.keeper.keep(delegation).map_err(|fault| fault.after("the node uses the new delegation, its next start will not"))?;
        Ok(json!({ "until_ms": until }))
    }

    async fn status(&self) -> Result<Value, Fault> {
        let (phase, links, waiting, users, stats) = self
            .look(|node| {
                let seen = node.inspect();
                (seen.phase, seen.links.len(), seen.outbox.len(), seen.book.len(), seen.stats)
            })
            .await?;
        let delegation = self.keeper.delegation();
        Ok(json!({
            "phase": phase,
            "listening": self.node.local_addr(),
            "addresses": overcom_std::sockets::addresses(self.node.local_addr()),
            "until_ms": delegation.map(|delegation| delegation.until().as_millis()),
            "identity_here": self.keeper.has_identity(),
            "clock_ahead_ms": self.clock_off.as_ref().and_then(|off| off.ahead_ms(&self.clock)),
            "links": links,
            "outbox": waiting,
            "users": users,
            "sessions": self.sessions.len(),
            "stats": stats,
        }))
    }

    fn listen(&mut self, session: SessionId, notices: Option<Vec<String>>, types: Option<Vec<String>>) -> Result<Value, Fault> {
        if let Some(unknown) = notices.iter().flatten().find(|kind| !NOTICES.contains(&kind.as_str())) {
            return Err(Fault::field("notices", format!("there is no notice {unknown}"), crate::proto::hint(unknown, NOTICES)));
        }
        if let Some(session) = self.sessions.get_mut(&session) {
            (session.notices, session.types) = (notices, types);
        }
        self.offer();
        Ok(json!({}))
    }

    fn taken(&mut self, session: SessionId, notices: u64) -> Result<Value, Fault> {
        if !self.sessions.get(&session).is_some_and(|session| session.is_explicit) {
            return Err(Fault::new("bad_field", "notices are taken as they are written", "ask for credit in the first line"));
        }
        if self.ledger.taken(session, notices) {
            self.hand_out(session, None);
            return Ok(json!({}));
        }
        Err(Fault::field("notices", "so many were not given", "count the notices that were read since the last taken"))
    }
}

fn delegation(json: &str) -> Result<Delegation, Fault> {
    Delegation::from_json(json.as_bytes()).map_err(|why| Fault::field("delegation", why, "copy it again, whole"))
}

fn invitation(line: &str) -> Result<Invitation, Fault> {
    line.parse().map_err(|why| CommandError::Invitation(why).into())
}

fn shown(value: impl serde::Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|why| Fault::new("stopped", why.to_string(), "report this"))
}
