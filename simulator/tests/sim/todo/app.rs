//! A to-do list as its author would write it: one type for the simulator and for both runtimes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use overcom_core::{App, AppCx, Command, Message, Notice, Saved, UserId};

/// What was heard from whom, in the order in which it came.
pub(crate) type Heard = Arc<Mutex<BTreeMap<UserId, Vec<String>>>>;

/// A grow-only list that every node keeps and tells everybody in its address book.
#[derive(Default)]
pub(crate) struct Todo {
    items: BTreeSet<String>,
    /// What it adds by itself once the list has so many items; `go` is the first word.
    plan: Vec<(usize, &'static str)>,
    heard: Heard,
}

impl Todo {
    #[allow(dead_code, reason = "not every test has a plan")]
    /// A list whose owner adds these items in their turn.
    pub(crate) fn planned(plan: &[(usize, &'static str)], heard: &Heard) -> Self {
        Self { plan: plan.to_vec(), heard: Arc::clone(heard), ..Self::default() }
    }

    #[allow(dead_code, reason = "not every test looks at it")]
    /// Everything on it.
    pub(crate) const fn items(&self) -> &BTreeSet<String> {
        &self.items
    }

    /// Puts something on it, and tells everybody.
    pub(crate) fn add(&mut self, cx: &mut AppCx<'_>, item: String) {
        if !self.items.insert(item.clone()) {
            return;
        }
        cx.save(item.as_bytes(), *b"");
        for user in cx.node().inspect().book {
            if let Ok(message) = Message::new("add", &item) {
                let _ = cx.command(Command::send(user, message));
            }
        }
    }

    fn add_next(&mut self, cx: &mut AppCx<'_>) {
        while let Some(at) = self.plan.iter().position(|(turn, _)| *turn <= self.items.len()) {
            let (_, item) = self.plan.remove(at);
            self.add(cx, item.into());
        }
    }
}

impl App for Todo {
    fn on_start(&mut self, _cx: &mut AppCx<'_>, saved: Saved) {
        self.items = saved.into_keys().filter_map(|key| String::from_utf8(key).ok()).collect();
    }

    fn on_notice(&mut self, cx: &mut AppCx<'_>, notice: Notice) {
        let Notice::Message(message) = notice else { return };
        let Ok(item) = message.parse::<String>() else { return };
        if let Ok(mut heard) = self.heard.lock() {
            heard.entry(message.from.user).or_default().push(format!("{} {item}", message.kind()));
        }
        if message.kind() == "add" && self.items.insert(item.clone()) {
            cx.save(item.as_bytes(), *b"");
        }
        self.add_next(cx);
    }
}
