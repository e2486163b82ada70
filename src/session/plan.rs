//! The plan of a protocol: its steps as data, for the other process.

use std::any::TypeId;
use std::collections::HashMap;

use crate::error::CodecError;
use crate::wire::shape::{Shape, Style, fnv};
use crate::wire::{Codec, Postcard};

/// The steps of a protocol. The first one is its beginning.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// `None` where nothing is known of it: it may be anything.
    pub(super) shapes: Vec<Option<Shape>>,
}

/// One step, with the numbers of its shape and of the steps after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send { message: String, shape: u32, next: u32 },
    Receive { message: String, shape: u32, next: u32 },
    Choose { choice: String, branches: Vec<(String, u32)> },
    Offer { choice: String, branches: Vec<(String, u32)> },
    End,
}

/// A plan while it is made.
#[derive(Debug, Default)]
pub struct Planning {
    steps: Vec<Step>,
    known: HashMap<TypeId, u32>,
    shapes: Vec<Shape>,
}

/// The most bytes of a plan, and the most steps in one of the other side.
const MAX_BYTES: usize = 1 << 20;
const MAX_STEPS: usize = 4096;

/// A step as postcard writes it: its kind, the name, the shape, and what comes next with the names of branches.
type Row = (u8, String, u32, Vec<(String, u32)>);

impl Planning {
    /// The number of a step: `make` adds what is not there yet.
    pub(super) fn step(&mut self, of: TypeId, make: fn(&mut Self) -> Step) -> u32 {
        if let Some(at) = self.known.get(&of) {
            return *at;
        }
        let at = self.steps.len();
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        self.known.insert(of, number);
        self.steps.push(Step::End);
        let step = make(self);
        if let Some(place) = self.steps.get_mut(at) {
            *place = step;
        }
        number
    }

    /// The number of a shape.
    pub(super) fn shape(&mut self, shape: Shape) -> u32 {
        let fingerprint = shape.fingerprint();
        let known = self.shapes.iter().position(|other| other.fingerprint() == fingerprint);
        let at = known.unwrap_or_else(|| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// By this number two processes see at once that one plan is the dual of the other.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut bytes = Vec::new();
        for step in &self.steps {
            let (kind, _, shape, next) = step.row();
            bytes.push(kind);
            if let Step::Send { .. } | Step::Receive { .. } = step {
                let shape = self.shapes.get(usize::try_from(shape).unwrap_or(usize::MAX));
                bytes.extend(shape.map_or(0, Shape::fingerprint).to_be_bytes());
            }
            for (branch, next) in next {
                bytes.extend_from_slice(branch.as_bytes());
                bytes.push(0xFF); // which is in no text
                bytes.extend_from_slice(&next.to_be_bytes());
            }
            bytes.push(0xFE);
        }
        fnv(&bytes)
    }

    /// The plan as bytes. Shapes for which there is no room are left out.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let rows: Vec<Row> = self.steps.iter().map(Step::row).collect();
        let mut room = MAX_BYTES / 2;
        let shapes: Vec<&[u8]> = self
            .shapes
            .iter()
            .map(|shape| match room.checked_sub(shape.description().len()) {
                Some(rest) => {
                    room = rest;
                    shape.description()
                }
                None => &[],
            })
            .collect();
        let mut bytes = Vec::new();
        Postcard.encode(&(rows, shapes), &mut bytes)?;
        Ok(bytes)
    }
}

impl Plan {
    /// Reads any bytes: `None` where they are no plan.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        let (rows, shapes): (Vec<Row>, Vec<Vec<u8>>) = Postcard.decode(bytes).ok()?;
        let plan = Self {
            steps: rows.into_iter().map(Step::of_row).collect::<Option<_>>()?,
            shapes: shapes.iter().map(|bytes| Shape::from_description(bytes).ok()).collect(),
        };
        plan.is_sound().then_some(plan)
    }

    fn is_sound(&self) -> bool {
        let is_step = |at: u32| usize::try_from(at).is_ok_and(|at| at < self.steps.len());
        let is_shape = |at: u32| usize::try_from(at).is_ok_and(|at| at < self.shapes.len());
        let known_style = |shape: &Option<Shape>| {
            shape.as_ref().is_none_or(|shape| shape.style() == Style::Positional)
        };
        (1..=MAX_STEPS).contains(&self.steps.len())
            && self.shapes.iter().all(known_style)
            && self.steps.iter().all(|step| match step {
                Step::Send { shape, next, .. } | Step::Receive { shape, next, .. } => {
                    is_shape(*shape) && is_step(*next)
                }
                Step::Choose { branches, .. } | Step::Offer { branches, .. } => {
                    branches.iter().all(|(_, next)| is_step(*next))
                }
                Step::End => true,
            })
    }

    pub(super) fn step(&self, at: u32) -> &Step {
        usize::try_from(at).ok().and_then(|at| self.steps.get(at)).unwrap_or(&Step::End)
    }

    pub(super) fn shape(&self, at: u32) -> Option<&Shape> {
        usize::try_from(at).ok().and_then(|at| self.shapes.get(at)).and_then(Option::as_ref)
    }
}

impl Step {
    fn row(&self) -> Row {
        let then = |next: &u32| vec![(String::new(), *next)];
        match self {
            Self::Send { message, shape, next } => (0, message.clone(), *shape, then(next)),
            Self::Receive { message, shape, next } => (1, message.clone(), *shape, then(next)),
            Self::Choose { choice, branches } => (2, choice.clone(), 0, branches.clone()),
            Self::Offer { choice, branches } => (3, choice.clone(), 0, branches.clone()),
            Self::End => (4, String::new(), 0, Vec::new()),
        }
    }

    fn of_row((kind, name, shape, next): Row) -> Option<Self> {
        Some(match (kind, next.as_slice()) {
            (0, [(_, next)]) => Self::Send { message: name, shape, next: *next },
            (1, [(_, next)]) => Self::Receive { message: name, shape, next: *next },
            (2, _) => Self::Choose { choice: name, branches: next },
            (3, _) => Self::Offer { choice: name, branches: next },
            (4, []) => Self::End,
            _ => return None,
        })
    }
}
