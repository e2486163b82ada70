//! The value of an answer, if there is one.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An option that is written as a sequence of none or one: the bytes of an option in postcard and bincode, and in a codec
/// whose values may be null themselves, such as JSON, something that can be told from it.
#[derive(Debug)]
pub(crate) struct Given<T>(pub(crate) Option<T>);

impl<T: Serialize> Serialize for Given<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AtMostOne(PhantomData))
    }
}

struct AtMostOne<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for AtMostOne<T> {
    type Value = Given<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or none")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Given<T>, A::Error> {
        let value = values.next_element()?;
        if value.is_some() && values.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("there are two values in an answer"));
        }
        Ok(Given(value))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::error::CodecError;
    use crate::wire::{Codec, Postcard};

    fn comes_back<C: Codec, T>(codec: C, value: Option<T>)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let (mut out, mut option) = (Vec::new(), Vec::new());
        let given = Given(value);
        codec.encode(&given, &mut out).unwrap();
        assert_eq!(codec.decode::<Given<T>>(&out).unwrap().0, given.0);
        if codec.name() != "json" {
            codec.encode(&given.0, &mut option).unwrap();
            assert_eq!(out, option);
        }
    }

    fn all_come_back<C: Codec + Copy>(codec: C) {
        comes_back(codec, Some(7_u32));
        comes_back(codec, None::<u32>);
        comes_back(codec, Some(()));
        comes_back(codec, None::<()>);
        comes_back(codec, Some(None::<String>));
        comes_back(codec, Some(Some("text".to_owned())));
    }

    #[test]
    fn an_answer_of_nothing_is_an_answer() {
        all_come_back(Postcard);
        #[cfg(feature = "bincode")]
        all_come_back(crate::wire::Bincode::new());
        #[cfg(feature = "json")]
        all_come_back(crate::wire::Json);
    }

    #[test]
    fn two_values_are_refused() {
        let refused = Postcard.decode::<Given<u8>>(&[2, 7, 8]);
        assert!(matches!(refused, Err(CodecError::Format(_))), "{refused:?}");
    }
}
