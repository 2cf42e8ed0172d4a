//! What the log of an interrupted run holds: taken from there instead of being done again.

use killpoint_model::Address;
use killpoint_model::event::Event;
use killpoint_model::report::Finding;
use killpoint_model::verdict::Reason;

/// The events of the interrupted part that have not come up again, in order.
#[derive(Debug, Default)]
pub(crate) struct Earlier(Vec<Event>);

impl Earlier {
    pub(super) fn new(events: Vec<Event>) -> Self {
        let again =
            |event: &Event| !matches!(event, Event::RunStarted { .. } | Event::Resumed { .. });
        Earlier(events.into_iter().filter(again).collect())
    }

    /// Takes an event out that stands in the log. Times do not matter.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        let same = |other: &Event| match (other, event) {
            (Event::Stage { name, .. }, Event::Stage { name: other, .. }) => name == other,
            (other, event) => other == event,
        };
        let found = self.0.iter().position(same);
        found.map(|place| self.0.remove(place)).is_some()
    }

    /// The digest of a recording that was made. It stays until its event comes up again.
    pub(crate) fn recorded(&self, number: u32) -> Option<&str> {
        self.0.iter().find_map(|event| match event {
            Event::Recorded { recording, digest, .. } if *recording == number => {
                Some(digest.as_str())
            }
            _ => None,
        })
    }

    /// The operations of the longest recording that was set aside.
    pub(crate) fn set_aside(&self) -> u64 {
        let operations = self.0.iter().map(|event| match event {
            Event::SetAside { operations } => *operations,
            _ => 0,
        });
        operations.max().unwrap_or_default()
    }

    /// Takes out the judgement of every state that was judged, with all that was told about it: those
    /// events behind it that `belong` to it. The last one stays if the interruption may have come
    /// before all was told.
    pub(crate) fn take_judged(&mut self, belongs: impl Fn(&Event) -> bool) -> Vec<Event> {
        let (mut judged, mut rest) = (Vec::new(), Vec::new());
        let mut events = std::mem::take(&mut self.0).into_iter().peekable();
        while let Some(event) = events.next() {
            if !matches!(event, Event::Judged { .. }) {
                rest.push(event);
                continue;
            }
            let mut about = Vec::new();
            while let Some(told) = events.next_if(&belongs) {
                about.push(told);
            }
            match events.peek() {
                Some(_) => judged.push(event),
                None => rest.extend(std::iter::once(event).chain(about)),
            }
        }
        self.0 = rest;
        judged
    }

    /// Takes out the outcome of a live kill that was carried out.
    pub(crate) fn take_struck(
        &mut self,
        address: &Address,
        attempt: u32,
    ) -> Option<(bool, Option<Reason>, String)> {
        let place = self.0.iter().position(|event| {
            matches!(event, Event::Struck { address: at, attempt: number, .. }
                if at == address && *number == attempt)
        })?;
        match self.0.remove(place) {
            Event::Struck { agreed, reason, detail, .. } => Some((agreed, reason, detail)),
            _ => None,
        }
    }

    /// Takes out a finding that was written. The live kills that confirmed it stay.
    pub(crate) fn take_found(&mut self, wanted: u32) -> Option<Finding> {
        let place = self.0.iter().position(
            |event| matches!(event, Event::Found { finding, .. } if finding.number == wanted),
        )?;
        match self.0.remove(place) {
            Event::Found { finding, .. } => Some(*finding),
            _ => None,
        }
    }
}
