//! What lines do: each kind to its place, on user links, on service links, and before the other end is proven.

use alloc::boxed::Box;

use super::pipe::{Stage, received};
use super::{Effect, Links};
use crate::LinkPeer;
use crate::close::CloseReason;
use crate::cx::Cx;
use crate::handshake::{Own, Unit};
use crate::id::{Peer, PipeId};
use crate::trace::Said;
use crate::wire::check_line;
use crate::wire::line::{Line, MessageLine};

impl Links {
    /// Takes a whole line, without its newline (spec: LINK-1, HS-10).
    pub(super) fn on_line(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, line: &[u8]) -> Result<(), CloseReason> {
        if line.len() > cx.config.line_bytes_max as usize {
            return Err(CloseReason::Malformed);
        }
        let text = core::str::from_utf8(line).map_err(|_| CloseReason::Malformed)?;
        let Some(it) = self.pipes.get_mut(&pipe) else { return Ok(()) };
        if let Stage::Up(link) = &mut it.stage
            && let LinkPeer::User(peer) = link.with
            && let Some(message) = MessageLine::parse_as_written(text)
        {
            cx.stats.lines_in = cx.stats.lines_in.saturating_add(1);
            return self.on_message_line(cx, pipe, peer, text, &message);
        }
        check_line(line).map_err(|_| CloseReason::Malformed)?;
        cx.stats.lines_in = cx.stats.lines_in.saturating_add(1);
        match &mut it.stage {
            Stage::Gone => Ok(()),
            Stage::Shaking(_) => match Line::parse(text).map_err(|_| CloseReason::Malformed)? {
                Line::Hello(hello) => self.shake(cx, own, pipe, Unit::Hello(hello.into())),
                Line::Close(close) => {
                    self.on_close(cx, pipe, close.reason);
                    Ok(())
                }
                Line::Message(_)
                | Line::Acknowledged(_)
                | Line::Stream(_)
                | Line::Resume(_)
                | Line::Delegation(_)
                | Line::Revocation(_)
                | Line::Search(_)
                | Line::SearchAnswer(_)
                | Line::Join(_)
                | Line::Joined(_)
                | Line::Bind(_)
                | Line::Bound(_)
                | Line::Device(_)
                | Line::Ping(_)
                | Line::Pong(_) => Err(CloseReason::NotAllowed),
            },
            Stage::Up(link) => match link.with {
                LinkPeer::User(peer) => self.on_user_line(cx, own, pipe, peer, text),
                LinkPeer::Service(_) => self.on_service_line(cx, pipe, text),
            },
        }
    }

    fn on_user_line(&mut self, cx: &mut Cx, own: &mut Own, pipe: PipeId, peer: Peer, text: &str) -> Result<(), CloseReason> {
        if let Some(message) = MessageLine::parse_as_json(text) {
            return self.on_message_line(cx, pipe, peer, text, &message.map_err(|_| CloseReason::Malformed)?);
        }
        let line = Line::parse(text).map_err(|_| CloseReason::Malformed)?;
        let Some(link) = self.pipes.get_mut(&pipe).and_then(|it| it.link()) else { return Ok(()) };
        let with = Some(link.with);
        match line {
            Line::Message(message) => return self.on_message_line(cx, pipe, peer, text, &message),
            Line::Acknowledged(acknowledged) => {
                link.last_use = cx.now;
                cx.saw(with, false, || Said::Acknowledged { upto: acknowledged.upto });
                self.effects.push_back(Effect::Acknowledged(pipe, acknowledged));
            }
            Line::Stream(stream) => link.stream_in = Some(stream),
            Line::Resume(resume) => {
                if core::mem::replace(&mut link.resumed, true) {
                    return Err(CloseReason::NotAllowed);
                }
                // Messages may follow in the same record, before the node has seen this.
                link.stream_in = resume.streams.last().map(|start| start.id);
                self.effects.push_back(Effect::Resume(pipe, Box::new(resume)));
            }
            Line::Hello(hello) => {
                cx.saw(with, false, || Said::Hello);
                self.on_late_hello(cx, own, pipe, peer, hello)?;
            }
            Line::Delegation(delegation) => {
                cx.saw(with, false, || Said::Delegation);
                self.effects.push_back(Effect::Delegation(pipe, Box::new(delegation)));
            }
            Line::Revocation(revocation) => {
                cx.saw(with, false, || Said::Revocation);
                self.effects.push_back(Effect::Revocation { pipe, user: peer.user, revocation: Box::new(revocation) });
            }
            Line::Search(_) => self.effects.push_back(Effect::Search(pipe, text.into())),
            Line::SearchAnswer(answer) => {
                cx.saw(with, false, || Said::SearchAnswer { status: answer.status });
                self.effects.push_back(Effect::SearchAnswer(pipe, answer));
            }
            Line::Join(join) => {
                cx.saw(with, false, || Said::Join);
                self.effects.push_back(Effect::Join(pipe, Box::new(join)));
            }
            Line::Joined(joined) => {
                cx.saw(with, false, || Said::Joined { status: joined.status });
                self.effects.push_back(Effect::Joined(pipe, joined));
            }
            Line::Bind(_) | Line::Bound(_) | Line::Device(_) => return Err(CloseReason::NotAllowed),
            Line::Ping(token) => self.on_ping(cx, pipe, token),
            Line::Pong(token) => self.on_pong(cx, pipe, token),
            Line::Close(close) => self.on_close(cx, pipe, close.reason),
        }
        Ok(())
    }

    fn on_message_line(&mut self, cx: &mut Cx, pipe: PipeId, peer: Peer, text: &str, message: &MessageLine<'_>) -> Result<(), CloseReason> {
        let Some(link) = self.pipes.get_mut(&pipe).and_then(|it| it.link()) else { return Ok(()) };
        link.last_use = cx.now;
        let with = Some(link.with);
        let stream = link.stream_in.ok_or(CloseReason::NotAllowed)?;
        let (received, disk) = received(peer, stream, text, message)?;
        cx.saw(with, false, || Said::Message { kind: received.kind().into(), number: message.number });
        self.effects.push_back(Effect::Message { pipe, received, disk });
        Ok(())
    }

    /// Strangers say no more to each other than this (spec: LINK-4).
    fn on_service_line(&mut self, cx: &mut Cx, pipe: PipeId, text: &str) -> Result<(), CloseReason> {
        let line = Line::parse(text).map_err(|_| CloseReason::Malformed)?;
        match line {
            Line::Bind(bind) => self.effects.push_back(Effect::Bind(pipe, bind.get().into())),
            Line::Bound(bound) => self.effects.push_back(Effect::Bound(pipe, bound.get().into())),
            Line::Device(record) => self.effects.push_back(Effect::Device(pipe, record.get().into())),
            Line::Ping(token) => self.on_ping(cx, pipe, token),
            Line::Pong(token) => self.on_pong(cx, pipe, token),
            Line::Close(close) => self.on_close(cx, pipe, close.reason),
            Line::Hello(hello) => {
                let now_known =
                    self.pipes.get_mut(&pipe).and_then(|it| it.link()).is_some_and(|link| link.boot.replace(hello.boot).is_none());
                if !now_known {
                    return Err(CloseReason::NotAllowed);
                }
                self.told_time(cx, pipe, hello.time);
            }
            Line::Message(_)
            | Line::Acknowledged(_)
            | Line::Stream(_)
            | Line::Resume(_)
            | Line::Delegation(_)
            | Line::Revocation(_)
            | Line::Search(_)
            | Line::SearchAnswer(_)
            | Line::Join(_)
            | Line::Joined(_) => return Err(CloseReason::NotAllowed),
        }
        Ok(())
    }

    fn on_ping(&mut self, cx: &mut Cx, pipe: PipeId, token: u64) {
        let with = self.link(pipe).map(|link| link.with);
        cx.saw(with, false, || Said::Ping);
        self.say(cx, pipe, &Line::Pong(token), || Said::Pong);
    }

    fn on_pong(&mut self, cx: &mut Cx, pipe: PipeId, token: u64) {
        let Some(link) = self.link(pipe) else { return };
        if link.pinged && link.ping.as_micros() == token {
            link.rtt_us = Some(u32::try_from(cx.now.since(link.ping).as_micros()).unwrap_or(u32::MAX));
            link.pinged = false;
        }
        let with = Some(link.with);
        cx.saw(with, false, || Said::Pong);
    }

    fn on_close(&mut self, cx: &mut Cx, pipe: PipeId, why: CloseReason) {
        let with = self.link(pipe).map(|link| link.with);
        cx.saw(with, false, || Said::Close(why));
        self.end(cx, pipe, why, false);
        self.hang_up(cx, pipe);
    }
}
