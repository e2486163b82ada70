//! The names of protocols that the two sides of a handshake accept, and the one on which both come to agree.

use crate::error::Disagreement;
use crate::wire::short_text;

/// The names that one side accepts, the one that it likes best first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) names: Vec<String>,
    /// Whether the other side must accept one of them.
    pub(super) required: bool,
}

/// So many names count.
const MOST: usize = 100;
const REQUIRED: u8 = 1;

impl Names {
    pub(super) fn of(names: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
        let cut = |name: String| short_text::cut(&name, u8::MAX).to_owned();
        let mut kept = Vec::new();
        for name in names.into_iter().map(Into::into).map(cut) {
            if kept.len() < MOST && !name.is_empty() && !kept.contains(&name) {
                kept.push(name);
            }
        }
        kept
    }

    /// Whether nothing is said of names.
    pub(super) fn is_silent(&self) -> bool {
        self.names.is_empty() && !self.required
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![if self.required { REQUIRED } else { 0 }];
        for name in &self.names {
            short_text::write(name, &mut bytes);
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` if it is cut.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&flags, mut rest) = bytes.split_first()?;
        let mut names = Vec::new();
        while !rest.is_empty() {
            let (name, behind) = short_text::read(rest)?;
            names.push(name);
            rest = behind;
        }
        Some(Self { names: Self::of(names), required: flags & REQUIRED != 0 })
    }

    /// The name on which both sides come to agree, whichever of them asks: that with the best places on both lists
    /// together, and of two such the greater one. `None` if a side accepts any.
    pub(super) fn agree(&self, theirs: &Self) -> Result<Option<String>, Disagreement> {
        if self.names.is_empty() || theirs.names.is_empty() {
            let required = self.required || theirs.required;
            return if required { Err(Disagreement::NoName) } else { Ok(None) };
        }
        let place = |names: &[String], name| names.iter().position(|other| other == name);
        let mut best: Option<(usize, &String)> = None;
        for (ours, name) in self.names.iter().enumerate() {
            let Some(other) = place(&theirs.names, name) else { continue };
            let sum = ours + other;
            if best.is_none_or(|(least, held)| sum < least || (sum == least && name > held)) {
                best = Some((sum, name));
            }
        }
        best.map(|(_, name)| Some(name.clone())).ok_or_else(|| Disagreement::Differs {
            what: "the protocol",
            ours: self.names.join(", "),
            theirs: theirs.names.join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn names(names: &[&str]) -> Names {
        Names { names: Names::of(names.iter().copied()), required: false }
    }

    #[test]
    fn golden_bytes() {
        let mut names = names(&["chat/2", "é", "chat/2", ""]);
        names.required = true;
        assert_eq!(names.to_bytes(), b"\x01\x06chat/2\x02\xc3\xa9");
    }

    #[test]
    fn the_best_name_for_both_is_taken_and_of_two_the_greater() {
        for (ours, theirs, want) in [
            (&["2", "1"][..], &["2", "1"][..], Some("2")),
            (&["2", "1"], &["1"], Some("1")),
            (&["3", "2", "1"], &["1", "2"], Some("2")),
            (&["a", "b"], &["b", "a"], Some("b")),
            (&[], &["1"], None),
        ] {
            let (ours, theirs) = (names(ours), names(theirs));
            assert_eq!(ours.agree(&theirs).unwrap().as_deref(), want);
            assert_eq!(theirs.agree(&ours).unwrap().as_deref(), want);
        }
    }

    #[test]
    fn no_common_name_and_none_at_all_where_one_is_required_are_refused() {
        let words = names(&["2", "1"]).agree(&names(&["0"])).unwrap_err().to_string();
        assert!(words.contains("the protocol differs: `2, 1` here, `0` there"), "{words}");
        let strict = Names { required: true, ..names(&["1"]) };
        assert!(matches!(strict.agree(&Names::default()), Err(Disagreement::NoName)));
        assert!(matches!(Names::default().agree(&strict), Err(Disagreement::NoName)));
    }

    #[test]
    fn names_too_many_or_too_long_are_cut_on_both_sides_alike() {
        let many: Vec<_> = (0..200).map(|name| format!("{name}{}", "é".repeat(200))).collect();
        let names = Names { names: Names::of(many), required: false };
        assert_eq!(names.names.len(), MOST);
        assert_eq!(Names::from_bytes(&names.to_bytes()), Some(names));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_both_sides_agree_alike(
            one in vec(any::<u8>(), 0..60),
            other in vec(0..4_u8, 0..60),
            third in vec(0..4_u8, 0..60),
        ) {
            let _ = Names::from_bytes(&one);
            if let (Some(one), Some(other)) = (Names::from_bytes(&other), Names::from_bytes(&third)) {
                let (ours, theirs) = (one.agree(&other), other.agree(&one));
                prop_assert_eq!(ours.is_ok(), theirs.is_ok());
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    prop_assert_eq!(ours, theirs);
                }
                prop_assert!(Names::from_bytes(&one.to_bytes()).is_some_and(|read| read == one));
            }
        }
    }
}
