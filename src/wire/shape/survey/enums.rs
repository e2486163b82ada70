//! The variants of an enum: how many there are, and which one is looked into next.

use super::{Key, Place, Plan, Refusal, Role, Step, Stuck, Survey};
use crate::wire::shape::Style;
use crate::wire::shape::graph::{Enum, Id, Name, Node};

/// What is known of the variants of an enum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried {
    pub(super) tried: bool,
    pub(super) ended: bool,
}

impl Survey {
    pub(in crate::wire::shape) fn enter_enum(
        &mut self,
        place: &Place,
        key: Key,
        name: &'static str,
        variants: &'static [&'static str],
    ) -> Option<Step> {
        let what = format!("enum {}", variants.join(","));
        let mut step = self.enter(place, key, &what, |survey| {
            let variant = |name: &&'static str| (Name::Borrowed(*name), survey.slot());
            let variants = variants.iter().map(variant).collect();
            Node::Enum(Enum { name: Name::Borrowed(name), aliases: 0, variants })
        });
        let of = match self.node(step.id) {
            Node::Enum(of) => of.clone(),
            _ => return None,
        };
        let (guess, by_number, tried) = self
            .enums
            .entry(step.id)
            .or_insert_with(|| {
                // JSON gives names; by numbers they are asked for once, to see whether some are second ones.
                let unasked = self.style == Style::Named;
                (0, unasked, vec![Tried::default(); of.variants.len()])
            })
            .clone();
        let last = of.variants.len().checked_sub(1 + guess).filter(|_| by_number);
        let number = match last.filter(|_| !step.place.minimal) {
            Some(last) => last,
            None => self.choose(&step, &of, &tried)?,
        };
        let by_name = self.style == Style::Named && last != Some(number);
        step.plan = Plan::Variant { number, by_name };
        // Where some names are second ones, a number says nothing of the name.
        let sure = by_name || guess == 0;
        let contents = of.variants.get(number).filter(|_| sure);
        step.slots = contents.map(|(_, id)| *id).into_iter().collect();
        if let Some(entered) = self.entered.get_mut(step.outer) {
            entered.variant = Some(number);
        }
        Some(step)
    }

    fn choose(&self, step: &Step, of: &Enum, tried: &[Tried]) -> Option<usize> {
        let count = match self.style {
            Style::Positional => of.count(),
            Style::Named => of.variants.len(),
        };
        let outer = self.entered.get(..step.outer).unwrap_or_default();
        let free =
            |number: usize| !outer.iter().any(|on| on.id == step.id && on.variant == Some(number));
        let at = |number: &usize| tried.get(*number).copied().unwrap_or_default();
        let all = || (0..count).filter(|number| free(*number));
        let new = || {
            let unseen = all().find(|number| !at(number).tried);
            unseen.or_else(|| {
                let inner = |number: &usize| of.variants.get(*number).map(|(_, id)| *id);
                all().find(|number| inner(number).is_some_and(|id| self.pending_at(id, step)))
            })
        };
        let new = if step.place.minimal { None } else { new() };
        let ended = || all().find(|number| at(number).ended);
        new.or_else(ended)
            .or_else(|| all().find(|number| !at(number).tried))
            .or_else(|| all().next())
    }

    /// By what a variant is asked for: its number, or its name.
    pub(in crate::wire::shape) fn variant(&self, step: &Step) -> (u32, Option<Name>) {
        let Plan::Variant { number, by_name } = step.plan else { return (0, None) };
        let name = match self.node(step.id) {
            Node::Enum(of) if by_name => of.variants.get(number).map(|(name, _)| name.clone()),
            _ => None,
        };
        (u32::try_from(number).unwrap_or(u32::MAX), name)
    }

    /// There is a variant of this number, or name.
    pub(in crate::wire::shape) fn found_variant(&mut self, step: &Step) {
        let by_name = matches!(step.plan, Plan::Variant { by_name: true, .. });
        if let Some((_, by_number, _)) = self.enums.get_mut(&step.id).filter(|_| !by_name) {
            self.progress |= *by_number;
            *by_number = false;
        }
    }

    /// There is no variant of this number: some of the names are second ones.
    pub(in crate::wire::shape) fn no_variant(&mut self, step: &Step) -> Stuck {
        let Plan::Variant { number, by_name } = step.plan else { return Stuck::new() };
        let Some(Node::Enum(of)) = self.nodes.get_mut(step.id) else { return Stuck::new() };
        let Some((guess, by_number, _)) = self.enums.get_mut(&step.id) else { return Stuck::new() };
        self.noted = true;
        match self.style {
            Style::Positional if number == 0 => self.set(step.id, Node::Any),
            Style::Positional => {
                of.aliases = of.variants.len() - number;
                let none: Vec<Id> = of.variants.iter().skip(number).map(|(_, id)| *id).collect();
                none.into_iter().for_each(|id| self.set(id, Node::Nothing));
            }
            Style::Named if !by_name => {
                *guess += 1;
                // It is never asked for by numbers.
                if *guess == of.variants.len() {
                    (*guess, *by_number) = (0, false);
                }
                of.aliases = *guess;
            }
            Style::Named => self.noted = false,
        }
        Stuck(if self.noted { Refusal::Noted } else { Refusal::Other })
    }

    /// The place of what a variant holds.
    pub(in crate::wire::shape) fn contents(&mut self, step: &Step, role: Role) -> Place {
        Place { role, ..self.part(step, 0) }
    }

    pub(in crate::wire::shape) fn left_enum<T>(&mut self, step: &Step, made: &Result<T, Stuck>) {
        let Plan::Variant { number, .. } = step.plan else { return };
        if made.is_err() {
            if let Some(contents) = step.slots.first() {
                self.blame(*contents);
            }
            return;
        }
        self.left(step);
        let tried = self.enums.get_mut(&step.id).filter(|_| !step.slots.is_empty());
        if let Some(tried) = tried.and_then(|(_, _, tried)| tried.get_mut(number)) {
            self.progress |= !tried.ended;
            *tried = Tried { tried: true, ended: true };
        }
    }
}
