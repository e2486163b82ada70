//! Those who have not proved their keys yet: so many at once, and no address has all of the places.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many may be proving their keys at once.
const ALL: usize = 256;

/// So many of one address.
const OF_ONE: usize = ALL / 2;

/// From so many on, who comes proves its address first, which costs nothing here: a forged one gets no place.
const FEW: usize = ALL / 4;

#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<HashMap<IpAddr, usize>>);

/// What becomes of one that comes.
#[derive(Debug)]
pub(crate) enum Word {
    /// It may prove its key, as long as this is held.
    Try(Place),
    /// It has to prove its address first.
    ProveAddress,
    Refuse,
}

impl Strangers {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of one from this address, which it has proved or not.
    pub(crate) fn word(self: &Arc<Self>, from: IpAddr, is_proved: bool) -> Word {
        let from = network(from);
        let mut held = self.lock();
        let all: usize = held.values().sum();
        if all >= FEW && !is_proved {
            return Word::ProveAddress;
        }
        let of_it = held.get(&from).copied().unwrap_or_default();
        if all >= ALL || of_it >= OF_ONE {
            return Word::Refuse;
        }
        held.insert(from, of_it + 1);
        Word::Try(Place { strangers: Arc::clone(self), from })
    }
}

/// Who has one address of IPv6 has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(whole) => Ipv6Addr::from_bits(whole.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// The place of one, until the drop of this.
#[derive(Debug)]
pub(crate) struct Place {
    strangers: Arc<Strangers>,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.strangers.lock();
        if let Some(of_it) = held.get_mut(&self.from) {
            *of_it -= 1;
            if *of_it == 0 {
                held.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many places as it gets.
    fn take(
        strangers: &Arc<Strangers>,
        from: impl Fn(u8) -> IpAddr,
        is_proved: bool,
    ) -> Vec<Place> {
        let all = (0..=u8::MAX).chain(0..=u8::MAX).map_while(|number| {
            match strangers.word(from(number), is_proved) {
                Word::Try(place) => Some(place),
                Word::ProveAddress | Word::Refuse => None,
            }
        });
        all.collect()
    }

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn forged_addresses_and_one_true_one_leave_places_for_others() {
        let strangers = Arc::<Strangers>::default();
        let forged = take(&strangers, address, false);
        let one = take(&strangers, |_| address(200), true);
        assert_eq!((forged.len(), one.len()), (64, 128));
        assert!(matches!(strangers.word(address(8), false), Word::ProveAddress));
        assert!(matches!(strangers.word(address(200), true), Word::Refuse));
        let others = take(&strangers, address, true);
        assert!(!others.is_empty());
        drop((forged, one, others));
        let all = take(&strangers, address, true);
        assert_eq!(all.len(), ALL);
        drop(all);
        assert!(strangers.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn a_network_of_the_sixth_version_counts_as_one_address() {
        let strangers = Arc::<Strangers>::default();
        let near = |last: u8| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)]);
        assert_eq!(take(&strangers, near, true).len(), OF_ONE);
        let far = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, 0]);
        assert!(matches!(strangers.word(far, true), Word::Try(_)));
    }
}
