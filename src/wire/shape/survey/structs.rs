//! The fields of a struct: their names, and which of them a reader does without.

use super::{Key, Place, Plan, Refusal, SCRATCH, Step, Stuck, Survey};
use crate::wire::shape::Style;
use crate::wire::shape::graph::{Field, Kind, Name, Node, Struct};

/// What is known of the fields of a struct.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    pub(super) in_order: bool,
    pub(super) by_name: bool,
    pub(super) stranger: bool,
    pub(super) all: bool,
    pub(super) required: bool,
}

/// The text of a field that no type has.
const STRANGER: &str = "\u{1}";

impl Survey {
    pub(in crate::wire::shape) fn enter_struct(
        &mut self,
        place: &Place,
        key: Key,
        name: &'static str,
        fields: &'static [&'static str],
    ) -> Step {
        let what = format!("struct {}", fields.join(","));
        let kind = match self.style {
            Style::Positional => Kind::Required,
            Style::Named => Kind::Optional,
        };
        let mut step = self.enter(place, key, &what, |survey| {
            let field =
                |name: &&'static str| Field { name: Name::Borrowed(name), id: survey.slot(), kind };
            let fields = fields.iter().map(field).collect();
            Node::Struct(Struct { name: Name::Borrowed(name), closed: false, fields })
        });
        step.plan = self.plan(&step);
        let given = |field: &&Field| {
            step.plan == Plan::InOrder
                || field.kind == Kind::Required
                || (step.plan != Plan::WhatIsRequired && !self.given_up.contains(&field.id))
        };
        step.slots = match self.node(step.id) {
            Node::Struct(of) => of.own().filter(given).map(|field| field.id).collect(),
            _ => vec![SCRATCH; fields.len()],
        };
        step
    }

    fn plan(&self, step: &Step) -> Plan {
        let Node::Struct(of) = self.node(step.id) else { return Plan::InOrder };
        let asked = self.structs.get(&step.id).copied().unwrap_or_default();
        let all = Plan::ByName { stranger: false };
        match self.style {
            Style::Positional if asked.by_name => all,
            Style::Named if !asked.in_order => {
                let new = || of.own().any(|field| self.pending_at(field.id, step));
                match (asked.all, asked.required) {
                    (false, _) if asked.stranger || step.place.minimal => all,
                    (false, _) => Plan::ByName { stranger: true },
                    (true, true) if step.place.minimal => Plan::WhatIsRequired,
                    (true, false) if !step.place.minimal && !new() => Plan::WhatIsRequired,
                    (true, _) => all,
                }
            }
            _ => Plan::InOrder,
        }
    }

    /// Whether the fields are given by their names.
    pub(in crate::wire::shape) fn is_by_name(step: &Step) -> bool {
        step.plan != Plan::InOrder
    }

    pub(in crate::wire::shape) fn count(step: &Step) -> usize {
        let stranger = step.plan == Plan::ByName { stranger: true };
        step.slots.len() + usize::from(stranger)
    }

    /// The name of a field that is given, and its place.
    pub(in crate::wire::shape) fn field(&mut self, step: &Step, number: usize) -> (Name, Place) {
        let stranger = step.plan == Plan::ByName { stranger: true };
        let own = number.checked_sub(usize::from(stranger));
        let place = match own {
            Some(own) => self.part(step, own),
            None => Place { slot: SCRATCH, ..step.place },
        };
        if let Some(entered) = self.entered.get_mut(step.outer) {
            entered.read = number + 1;
        }
        let name = match self.node(step.id) {
            Node::Struct(of) if own.is_some() => {
                of.own().find(|field| field.id == place.slot).map(|field| field.name.clone())
            }
            _ => None,
        };
        (name.unwrap_or(Name::Borrowed(STRANGER)), place)
    }

    pub(in crate::wire::shape) fn left_struct<T>(
        &mut self,
        step: &Step,
        made: &mut Result<T, Stuck>,
    ) {
        let read = self.entered.get(step.outer).map_or(0, |entered| entered.read);
        match made {
            Ok(_) => {
                self.left(step);
                self.left_whole(step, read);
            }
            Err(Stuck(refusal)) => {
                self.noted |= self.learned(step, read, refusal);
                self.close(refusal);
            }
        }
    }

    fn left_whole(&mut self, step: &Step, read: usize) {
        let Some(Node::Struct(of)) = self.nodes.get_mut(step.id) else { return };
        let asked = self.structs.entry(step.id).or_default();
        let before = *asked;
        match (self.style, step.plan) {
            // More names than fields: some are second ones, and only a map tells which.
            (Style::Positional, Plan::InOrder) if read < of.own().count() => {
                if before.in_order {
                    of.fields.truncate(read);
                } else {
                    asked.by_name = true;
                    self.noted = true;
                    let fresh = self.nodes.len();
                    let Some(Node::Struct(of)) = self.nodes.get_mut(step.id) else { return };
                    let fields = of.fields.iter_mut().zip(fresh..);
                    fields.for_each(|(field, id)| field.id = id);
                    let count = of.fields.len();
                    self.nodes.resize(fresh + count, Node::Unseen);
                }
            }
            (Style::Positional, Plan::InOrder) => {}
            (Style::Positional, _) => {
                *asked = Asked { in_order: true, ..Asked::default() };
                self.noted = true;
            }
            (Style::Named, Plan::ByName { stranger }) => {
                asked.stranger |= stranger;
                asked.all |= asked.stranger;
            }
            (Style::Named, Plan::WhatIsRequired) => asked.required = true,
            (Style::Named, _) => {}
        }
        self.progress |= self.structs.get(&step.id).is_some_and(|now| {
            (now.stranger, now.all, now.required) != (before.stranger, before.all, before.required)
        });
    }

    /// Whether the error of a struct says something of its fields that was not known.
    fn learned(&mut self, step: &Step, read: usize, refusal: &Refusal) -> bool {
        let stranger = step.plan == Plan::ByName { stranger: true };
        let given = read.checked_sub(1 + usize::from(stranger));
        let given = given.and_then(|given| step.slots.get(given)).copied();
        let Some(Node::Struct(of)) = self.nodes.get_mut(step.id) else { return false };
        let named = |name: &str| of.fields.iter().position(|field| field.name == name);
        let asked = self.structs.entry(step.id).or_default();
        match refusal {
            Refusal::Duplicate(name) if Self::is_by_name(step) => {
                let (Some(given), Some(primary)) = (given, named(name)) else { return false };
                let Some(second) = of.fields.iter().position(|field| field.id == given) else {
                    return false;
                };
                // The first of two names may have been the second one.
                let (second, primary) = match second == primary {
                    false => (second, primary),
                    true => return self.second_before(step, primary),
                };
                if let Some(field) = of.fields.get_mut(second) {
                    field.kind = Kind::Alias(primary);
                }
                true
            }
            Refusal::UnknownField if stranger && read == 1 => {
                of.closed = true;
                asked.stranger = true;
                true
            }
            Refusal::Missing(name) => {
                let Some(missing) = named(name) else { return false };
                match of.fields.get_mut(missing) {
                    Some(field) if field.kind == Kind::Optional => field.kind = Kind::Required,
                    _ => return false,
                }
                true
            }
            Refusal::NoMap if Self::is_by_name(step) && read == 0 => {
                *asked = Asked { in_order: true, ..Asked::default() };
                if self.style == Style::Positional {
                    of.fields.iter_mut().for_each(|field| field.name = Name::Borrowed(""));
                }
                true
            }
            _ => false,
        }
    }

    /// A field was given twice, and its own name came last: one of those before is another name of it.
    ///
    /// The names of one field stand together, so it is the one right before.
    fn second_before(&mut self, step: &Step, primary: usize) -> bool {
        let Some(Node::Struct(of)) = self.nodes.get_mut(step.id) else { return false };
        let before = of.fields.iter_mut().take(primary).rev();
        let mut own = before.filter(|field| !matches!(field.kind, Kind::Alias(_)));
        match own.next() {
            Some(field) => {
                field.kind = Kind::Alias(primary);
                true
            }
            None => false,
        }
    }
}
