//! What is left to look into, and what is done after a pass that came to no value.

use std::collections::HashSet;

use super::{SAMPLES, Step, Survey};
use crate::wire::shape::Style;
use crate::wire::shape::graph::{Id, Node};

impl Survey {
    pub(super) fn is_entered(&self, id: Id) -> bool {
        self.entered.iter().any(|on| on.id == id)
    }

    pub(super) fn pending_at(&self, from: Id, step: &Step) -> bool {
        self.look(from, Some(step.id)).0
    }

    /// Whether there is anything left to look into, on a way that does not lead through what is entered already.
    pub(super) fn pending(&mut self, from: Id, except: Option<Id>) -> bool {
        let (found, seen) = self.look(from, except);
        if let (false, Some(seen)) = (found, seen) {
            self.settled.extend(seen);
        }
        found
    }

    /// Also what was seen on all ways, where there was nothing and no way ended at what is entered.
    pub(super) fn look(&self, from: Id, except: Option<Id>) -> (bool, Option<Vec<Id>>) {
        let mut seen = HashSet::new();
        let mut todo = vec![from];
        let mut whole = true;
        while let Some(id) = todo.pop() {
            let id = self.at(id);
            if self.settled.contains(&id) || seen.contains(&id) {
                continue;
            }
            if self.is_entered(id) || except == Some(id) || self.given_up.contains(&id) {
                whole = false;
                continue;
            }
            let node = self.node(id);
            let open = match node {
                Node::Unseen => true,
                Node::Enum(of) => {
                    let tried = self.enums.get(&id);
                    let looked = |number: usize| {
                        tried.is_some_and(|(_, _, tried)| {
                            tried.get(number).is_some_and(|tried| tried.tried)
                        })
                    };
                    let count = match self.style {
                        Style::Positional => of.count(),
                        Style::Named => of.variants.len(),
                    };
                    todo.extend(of.variants.iter().take(count).map(|(_, id)| *id));
                    !(0..count).all(looked)
                }
                Node::Struct(of) => {
                    let asked = self.structs.get(&id).copied().unwrap_or_default();
                    todo.extend(of.own().map(|field| field.id));
                    match self.style {
                        Style::Positional => asked.by_name,
                        Style::Named => !(asked.in_order || (asked.all && asked.required)),
                    }
                }
                node => {
                    todo.extend(node.parts());
                    false
                }
            };
            if open {
                return (true, None);
            }
            seen.insert(id);
        }
        (false, whole.then(|| seen.into_iter().collect()))
    }

    /// The pass failed: there is another sample for the place to blame, or no more of it. Whether another pass may see more.
    pub(super) fn learn(&mut self, place: Id) -> bool {
        let next = self.samples.entry(place).or_default();
        *next += 1;
        if *next < SAMPLES {
            return true;
        }
        let new = self.given_up.insert(place);
        // The innermost thing around it that can do without it.
        for on in self.entered.clone().into_iter().rev() {
            let inner = match self.node(on.id) {
                Node::Option(inner) | Node::Seq(inner) | Node::Map(inner, _) => Some(*inner),
                Node::Struct(_) if self.style == Style::Named => Some(on.part),
                _ => None,
            };
            if inner.is_some_and(|inner| self.given_up.insert(inner) || (new && inner == place)) {
                return true;
            }
            let tried = self.enums.get_mut(&on.id).zip(on.variant);
            if let Some(tried) = tried.and_then(|((_, _, tried), at)| tried.get_mut(at)) {
                if !tried.tried {
                    tried.tried = true;
                    return true;
                }
            }
        }
        false
    }
}
