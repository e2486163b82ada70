//! Fingerprints are the same on every platform, for every compiler, and in every release.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use typed_pipe::wire::shape::{Shape, Style};

#[derive(Serialize, Deserialize)]
struct Everything {
    a: (bool, char, (), [u8; 3]),
    b: (u8, u16, u32, u64, u128, usize),
    c: (i8, i16, i32, i64, i128, isize),
    d: (f32, f64),
    e: Option<String>,
    f: Vec<Command>,
    g: BTreeMap<String, Tree>,
    #[serde(with = "serde_bytes")]
    h: Vec<u8>,
    #[serde(default, alias = "j")]
    i: u8,
}

#[derive(Serialize, Deserialize)]
enum Command {
    Start,
    Set {
        rate: u32,
    },
    Many(Vec<Tree>),
    #[serde(alias = "Halt")]
    Stop(u8, u8),
}

#[derive(Serialize, Deserialize)]
struct Tree {
    left: Option<Box<Self>>,
    right: Option<Box<Self>>,
}

fn golden<T: DeserializeOwned>() -> [u64; 2] {
    [Style::Positional, Style::Named].map(|style| {
        let shape = Shape::of::<T>(style);
        println!("{:#018x} {shape}", shape.fingerprint());
        let told = Shape::from_description(shape.description()).unwrap();
        assert_eq!((told.fingerprint(), &told), (shape.fingerprint(), &shape));
        shape.fingerprint()
    })
}

#[test]
fn fingerprints_are_the_same_everywhere() {
    let found = [
        golden::<()>(),
        golden::<u8>(),
        golden::<usize>(),
        golden::<String>(),
        golden::<Option<Vec<(u8, f64)>>>(),
        golden::<Command>(),
        golden::<Tree>(),
        golden::<Everything>(),
        golden::<std::time::Duration>(),
        golden::<std::net::SocketAddr>(),
        golden::<uuid::Uuid>(),
        golden::<Result<u32, String>>(),
    ];
    let golden: [[u64; 2]; 12] = [
        [0xd0a6_ed18_6729_f905, 0xea9c_b218_75dc_6514],
        [0xd0a6_e618_6729_ed20, 0xea9c_b118_75dc_6361],
        [0xd0a6_f318_672a_0337, 0xea9c_ac18_75dc_5ae2],
        [0xd0a6_ee18_6729_fab8, 0xea9c_a918_75dc_55c9],
        [0xfa41_77d4_99e7_3dc2, 0x5dc6_f0da_85a5_fba9],
        [0x51c0_8eb0_c867_2f33, 0x531f_3558_c0c0_a497],
        [0x902d_1f6a_631d_c8d5, 0x0654_3983_247d_31de],
        [0x1e34_3331_dc1d_3a52, 0xb2f9_cc5c_cc3e_8750],
        [0x8feb_9023_49f6_3f71, 0x2dfd_e94c_7e40_1dd7],
        [0x9fe0_ffc6_cd2f_33d1, 0xea9c_a918_75dc_55c9],
        [0xd0a6_dd18_6729_ddd5, 0xea9c_a918_75dc_55c9],
        [0x1104_540a_eb76_9a00, 0x8760_2b62_faf9_0139],
    ];
    assert_eq!(found, golden, "{found:#018x?}");
}

/// As another crate, or another part of this one, would have made it.
#[test]
fn copies_of_a_type_have_one_fingerprint() {
    mod copy {
        use super::*;

        #[derive(Deserialize)]
        #[expect(dead_code, reason = "only its shape is asked for")]
        pub(super) struct Baum {
            left: Option<Box<Tree>>,
            right: Option<Box<Self>>,
        }
    }
    assert_eq!(golden::<Tree>(), golden::<copy::Baum>());
}

#[test]
fn a_message_that_changed_is_told_with_its_place() {
    mod before {
        use super::*;

        #[derive(Deserialize)]
        pub(super) struct Reading {
            #[expect(dead_code, reason = "only its shape is asked for")]
            celsius: f32,
        }

        #[derive(Deserialize)]
        pub(super) enum Order {
            One,
        }
    }
    mod now {
        use super::*;

        #[derive(Deserialize)]
        pub(super) struct Reading {
            #[expect(dead_code, reason = "only its shape is asked for")]
            celsius: f64,
        }

        #[derive(Deserialize)]
        pub(super) enum Order {
            One,
            Two,
        }
    }
    fn words(shape: &Shape, golden: &str) -> String {
        let failed = catch_unwind(|| shape.assert_unchanged(golden)).unwrap_err();
        failed.downcast_ref::<String>().unwrap().clone()
    }
    fn value(shape: &Shape) -> String {
        let words = words(shape, "");
        assert!(words.starts_with("this message changed: it has no golden value yet"), "{words}");
        words.split('"').nth(1).unwrap().to_owned()
    }
    let of = Style::Positional;
    let before = value(&Shape::of::<before::Reading>(of));
    Shape::of::<before::Reading>(of).assert_unchanged(&before);
    let told = words(&Shape::of::<now::Reading>(of), &before);
    let now = value(&Shape::of::<now::Reading>(of));
    assert_eq!(
        told,
        format!(
            "this message changed: `Reading.celsius`: f32 before, f64 now; its golden value is now \"{now}\""
        )
    );
    let told = words(&Shape::of::<now::Order>(of), &value(&Shape::of::<before::Order>(of)));
    assert!(
        told.starts_with(
            "this message changed: the readers of before do not read all of it: `Order`: variant 1 is `Two` now, no such variant before; "
        ),
        "{told}"
    );
    let told = words(&Shape::of::<now::Order>(of), "0123456789abcdef");
    assert!(told.contains("the golden value does not tell where"), "{told}");
}
