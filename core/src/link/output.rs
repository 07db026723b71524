//! The way out: what is said gathers on its pipe, and is sealed and written when the pipe takes it.

use super::pipe::{Stage, ack_line};
use super::{Effect, Links, RECORD_BYTES_MAX};
use crate::action::{Action, Packet};
use crate::close::CloseReason;
use crate::config::Config;
use crate::cx::Cx;
use crate::id::{PipeId, StreamId};
use crate::message::Message;
use crate::timer::TimerKey;
use crate::trace::Said;
use crate::wire::line::{Line, write_message};

impl Links {
    /// Says a line on a link or a sealed pipe; nothing if the pipe is not there.
    pub(crate) fn say(&mut self, cx: &mut Cx, pipe: PipeId, line: &Line<'_>, said: impl FnOnce() -> Said) {
        let Some(it) = self.pipes.get_mut(&pipe).filter(|it| it.sealer.is_some()) else { return };
        if it.buffers.out.capacity() == 0 && it.is_up() {
            it.buffers.out = cx.buffer();
        }
        line.write(&mut it.buffers.out);
        // Whoever asks and never reads is let go.
        let is_unread = it.buffers.out.len() > cx.config.said_bytes_max();
        let with = it.with();
        cx.saw(with, true, said);
        self.mark(pipe);
        if is_unread {
            self.let_go(cx, pipe);
        }
    }

    /// The other end has more said to it than it reads: it could not be told why it is let go.
    fn let_go(&mut self, cx: &mut Cx, pipe: PipeId) {
        cx.stats.faults = cx.stats.faults.saturating_add(1);
        self.end(cx, pipe, CloseReason::Flood, true);
        self.hang_up(cx, pipe);
    }

    /// Says a message. Whether the pipe takes more messages now.
    pub(crate) fn say_message(&mut self, cx: &mut Cx, pipe: PipeId, stream: StreamId, number: u64, disk: bool, message: &Message) -> bool {
        let Some(it) = self.pipes.get_mut(&pipe) else { return false };
        if it.buffers.out.capacity() == 0 {
            it.buffers.out = cx.buffer();
        }
        let Stage::Up(link) = &mut it.stage else { return false };
        link.last_use = cx.now;
        if link.stream_out != Some(stream) {
            link.stream_out = Some(stream);
            Line::Stream(stream).write(&mut it.buffers.out);
        }
        write_message(&mut it.buffers.out, number, disk, message.kind(), message.payload());
        if cx.is_observed() {
            let with = Some(link.with);
            cx.saw(with, true, || Said::Message { kind: message.kind().into(), number });
        }
        let has_room = it.has_room(&cx.config);
        if !core::mem::replace(&mut it.dirty, true) {
            self.dirty.push(pipe);
        }
        has_room
    }

    /// Whether a pipe takes more messages now.
    pub(crate) fn has_room(&self, config: &Config, pipe: PipeId) -> bool {
        self.pipes.get(&pipe).is_some_and(|it| it.has_room(config))
    }

    /// Whether something waits for [`flush`](Self::flush).
    pub(crate) const fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Seals and writes whatever was said on pipes that have credit (spec: LINK-7).
    pub(crate) fn flush(&mut self, cx: &mut Cx) {
        let mut dirty = core::mem::take(&mut self.dirty);
        for pipe in dirty.drain(..) {
            self.flush_one(cx, pipe);
        }
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    fn flush_one(&mut self, cx: &mut Cx, pipe: PipeId) {
        let Some(it) = self.pipes.get_mut(&pipe) else { return };
        it.dirty = false;
        if it.writing || it.hung_up {
            return;
        }
        if let Stage::Up(link) = &mut it.stage
            && (link.acknowledge_now || (!it.buffers.out.is_empty() && link.acknowledge.is_some()))
        {
            if it.buffers.out.capacity() == 0 {
                it.buffers.out = cx.buffer();
            }
            let said = ack_line(link, &mut it.buffers.out);
            cx.timers.cancel(TimerKey::Acknowledge(pipe));
            let with = Some(link.with);
            if let Some(upto) = said {
                cx.saw(with, true, || Said::Acknowledged { upto });
            }
        }
        let mut packet = core::mem::take(&mut it.buffers.clear);
        if packet.capacity() == 0 && !it.buffers.out.is_empty() && it.is_up() {
            packet = cx.buffer();
        }
        let sealed = it.seal_into(&mut packet, &cx.config.crypto, cx.config.waiting_bytes_max(), RECORD_BYTES_MAX);
        match sealed {
            Ok(records) => cx.stats.records_out = cx.stats.records_out.saturating_add(records),
            Err(_) => packet.clear(),
        }
        if it.buffers.out.is_empty() {
            cx.recycle(core::mem::take(&mut it.buffers.out));
        }
        it.rest(cx.now, cx.config.keep_alive());
        let is_empty = packet.is_empty();
        if is_empty {
            cx.recycle(packet);
        } else {
            it.writing = true;
            cx.actions.push_back(Action::Write { pipe, packet: Packet::from_vec(packet) });
        }
        if matches!(it.stage, Stage::Gone) && it.buffers.out.is_empty() {
            self.hang_up(cx, pipe);
        } else if matches!(it.stage, Stage::Up(_)) && !is_empty {
            self.effects.push_back(Effect::Room(pipe));
        }
    }

    /// Something is to be written when the call is over.
    pub(super) fn mark(&mut self, pipe: PipeId) {
        if let Some(it) = self.pipes.get_mut(&pipe)
            && !core::mem::replace(&mut it.dirty, true)
        {
            self.dirty.push(pipe);
        }
    }
}
