//! The types of a program, and those of its next version.

pub(crate) mod old {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Reading {
        pub(crate) sensor: String,
        pub(crate) celsius: f32,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Command {
        Start,
        Set { rate: u32 },
    }

    pub(crate) fn reading() -> Reading {
        Reading { sensor: "kitchen".into(), celsius: 21.5 }
    }
}

pub(crate) mod new {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) struct Reading {
        pub(crate) sensor: String,
        pub(crate) celsius: f64,
    }

    /// What it was, and a variant more.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(crate) enum Command {
        Start,
        Set { rate: u32 },
        Pause,
    }

    pub(crate) fn reading() -> Reading {
        Reading { sensor: "kitchen".into(), celsius: 21.5 }
    }
}

/// The words of the side that sends an old reading to a new program, and of the other side.
pub(crate) const HERE_F32: &str = "what this side sends: `Reading.celsius`: f32 here, f64 there";
pub(crate) const HERE_F64: &str = "what this side receives: `Reading.celsius`: f64 here, f32 there";
