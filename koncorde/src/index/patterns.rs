//! Regular expressions, and those of them that a text may match: by three bytes that the text must contain.

use std::collections::HashMap;

use crate::pattern::Pattern;

#[derive(Debug, Default)]
pub(super) struct Patterns {
    by_trigram: HashMap<[u8; 3], Vec<u32>>,
    /// Expressions that require no three bytes.
    others: Vec<u32>,
}

impl Patterns {
    pub(super) fn insert(&mut self, pattern: &Pattern, group: u32) {
        match trigrams(pattern) {
            None => self.others.push(group),
            Some(trigrams) => {
                for trigram in trigrams {
                    self.by_trigram.entry(trigram).or_default().push(group);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, pattern: &Pattern, group: u32) {
        fn take_out(groups: &mut Vec<u32>, group: u32) {
            if let Some(position) = groups.iter().position(|other| *other == group) {
                groups.swap_remove(position);
            }
        }
        match trigrams(pattern) {
            None => take_out(&mut self.others, group),
            Some(trigrams) => {
                for trigram in trigrams {
                    let Some(groups) = self.by_trigram.get_mut(&trigram) else { continue };
                    take_out(groups, group);
                    if groups.is_empty() {
                        self.by_trigram.remove(&trigram);
                    }
                }
            }
        }
    }

    /// Each expression that the text may match, once.
    pub(super) fn for_each_candidate(&self, text: &str, mut found: impl FnMut(u32)) {
        self.others.iter().for_each(|group| found(*group));
        if self.by_trigram.is_empty() {
            return;
        }
        let mut candidates = Vec::new();
        for window in text.as_bytes().windows(3) {
            if let Some(groups) = self.by_trigram.get(window) {
                candidates.extend_from_slice(groups);
            }
            // A text may repeat itself.
            if candidates.len() > 4096 {
                candidates.sort_unstable();
                candidates.dedup();
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates.into_iter().for_each(found);
    }
}

/// The last three bytes of each required literal, if all are long enough.
fn trigrams(pattern: &Pattern) -> Option<Vec<[u8; 3]>> {
    let last = |literal: &[u8]| literal.last_chunk::<3>().copied();
    let mut trigrams =
        pattern.required()?.iter().map(|literal| last(literal)).collect::<Option<Vec<[u8; 3]>>>()?;
    trigrams.sort_unstable();
    trigrams.dedup();
    (!trigrams.is_empty()).then_some(trigrams)
}
