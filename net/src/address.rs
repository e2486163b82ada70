//! Where a name is offered: `name@KEY/host:port`.

use std::io;

use crate::key::PublicKey;

/// The longest name, in bytes.
const LONGEST: usize = 200;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
    /// A host and a port, as they were written.
    pub(crate) host: String,
}

impl Address {
    pub(crate) fn parse(text: &str) -> io::Result<Self> {
        let wrong = |what: &str| {
            let why = format!("`{text}` is not `name@KEY/host:port`: {what}");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        let (name, rest) = text.rsplit_once('@').ok_or_else(|| wrong("there is no `@`"))?;
        let (key, host) = rest.split_once('/').ok_or_else(|| wrong("there is no `/`"))?;
        let port = host.rsplit_once(':').map(|(_, port)| port);
        if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
            return Err(wrong("there is no port"));
        }
        check_name(name)?;
        let key = key.parse().map_err(|error| wrong(&format!("{error}")))?;
        Ok(Self { name: name.into(), key, host: host.into() })
    }
}

/// Whether something can be offered by this name.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    let wrong = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if name.is_empty() || name.len() > LONGEST {
        return wrong(format!("a name has 1 to {LONGEST} bytes, and not {}", name.len()));
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '@' || c == '/') {
        return wrong(format!("the name {name:?} has spaces, control characters, `@` or `/`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key;

    #[test]
    fn an_address_is_read_or_says_what_is_wrong_with_it() {
        let key = Key::generate().public();
        let address = Address::parse(&format!("jobs@{key}/[::1]:7000")).unwrap();
        assert_eq!(address, Address { name: "jobs".into(), key, host: "[::1]:7000".into() });
        for (text, why) in [
            (format!("jobs/{key}"), "no `@`"),
            (format!("jobs@{key}"), "no `/`"),
            (format!("jobs@{key}/host"), "no port"),
            (format!("jobs@{key}/host:0"), "no port"),
            (format!("jobs@{key}/host:70000"), "no port"),
            ("jobs@5f0c/host:1".into(), "64 hexadecimal"),
            (format!("@{key}/host:1"), "1 to 200"),
            (format!("a b@{key}/host:1"), "spaces"),
            (format!("{}@{key}/host:1", "x".repeat(201)), "1 to 200"),
        ] {
            let error = Address::parse(&text).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
