//! Those who share one filter: its subscribers, or the members of one of its shares.

use std::ops::Deref;

use rustc_hash::FxHashMap;

use super::trie::Subscriber;

/// Up to so many are looked through, more are found by an index.
const FEW: usize = 32;

/// Subscriptions of different sessions, one each. Reads as a slice.
#[derive(Debug, Default)]
pub(super) struct Members {
    list: Vec<Subscriber>,
    /// The place of each session in the list, if there are many.
    places: Option<Box<FxHashMap<u32, u32>>>,
}

impl Members {
    /// Adds or replaces the session's subscription. Answers whether it was there.
    pub(super) fn set(&mut self, subscriber: Subscriber) -> bool {
        if let Some(place) = self.place(subscriber.session) {
            self.list[place] = subscriber;
            return true;
        }
        if let Some(places) = &mut self.places {
            places.insert(subscriber.session, self.list.len() as u32);
        }
        self.list.push(subscriber);
        if self.places.is_none() && self.list.len() > FEW {
            self.places = Some(Box::new((0..).zip(&self.list).map(|(at, one)| (one.session, at)).collect()));
        }
        false
    }

    /// Removes the session's subscription. Answers whether it was there.
    pub(super) fn remove(&mut self, session: u32) -> bool {
        let Some(place) = self.place(session) else { return false };
        self.list.swap_remove(place);
        if let Some(places) = &mut self.places {
            places.remove(&session);
            if let Some(moved) = self.list.get(place) {
                places.insert(moved.session, place as u32);
            }
        }
        if self.list.len() < FEW / 2 {
            self.places = None;
        }
        // What a crowd has left behind.
        if self.list.capacity() > 2 * FEW && self.list.len() * 4 < self.list.capacity() {
            self.list.shrink_to(self.list.len() * 2);
            if let Some(places) = &mut self.places {
                places.shrink_to(self.list.len() * 2);
            }
        }
        true
    }

    fn place(&self, session: u32) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&session).map(|place| *place as usize),
            None => self.list.iter().position(|one| one.session == session),
        }
    }
}

impl Deref for Members {
    type Target = [Subscriber];

    fn deref(&self) -> &[Subscriber] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::packet::Options;

    #[test]
    fn few_and_many_are_found_replaced_and_removed() {
        let options = Options::default();
        for crowd in [5, FEW as u32 + 1, 1000] {
            let mut members = Members::default();
            for session in 0..crowd {
                assert!(!members.set(Subscriber { session, id: 0, options }));
            }
            for session in (0..crowd).rev() {
                assert!(members.set(Subscriber { session, id: session + 1, options }));
            }
            assert_eq!(members.len(), crowd as usize);
            // Every third goes first, then the rest.
            for session in (0..crowd).step_by(3).chain((0..crowd).filter(|session| session % 3 > 0)) {
                assert!(members.remove(session) && !members.remove(session));
                assert!(members.iter().all(|one| one.id == one.session + 1));
                assert!(members.iter().all(|one| members.place(one.session).is_some()));
            }
            assert!(members.is_empty() && members.places.is_none() && members.list.capacity() <= 2 * FEW);
        }
    }
}
