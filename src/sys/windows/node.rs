//! The name of an allocated pipe.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::instance::{BACKLOG, Instances, lock};
use super::name::temporary;
use super::raw::Raw;
use super::resource_errors;
use super::stream::Stream;
use super::writers::Writers;
use crate::error::Obstacle;
use crate::sys::retry::end_of_wait;
use crate::sys::{Settings, Wait, Way};

/// An allocated name: the instance that listens. The name dies with the last handle of either side.
#[derive(Debug)]
pub(crate) struct Node {
    /// Shared with the reading end that is open, if one is.
    listener: Arc<Mutex<Instances>>,
}

impl Node {
    pub(crate) fn create(path: &Path, settings: &Settings) -> io::Result<Self> {
        let listener = Instances::new(path, settings, BACKLOG).map_err(resource_errors::told)?;
        Ok(Self { listener: Arc::new(Mutex::new(listener)) })
    }

    pub(crate) fn temporary(settings: &Settings) -> io::Result<(PathBuf, Self)> {
        let path = temporary()?;
        let node = Self::create(&path, settings)?;
        Ok((path, node))
    }

    /// Opens the owner's end. A reading end does not wait, a writing end waits for a client.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "an end is open once at a time")]
    pub(crate) fn open(&mut self, way: Way, wait: Wait<'_>) -> io::Result<Raw> {
        match way {
            Way::In => Ok(Writers::new(Arc::clone(&self.listener))?.into()),
            Way::Out => {
                let mut listener = lock(&self.listener);
                let no_reader = |ended| end_of_wait(ended, Obstacle::NoReader.into());
                let client = listener.wait(wait).map_err(no_reader)?;
                Ok(Stream::new(client)?.into())
            }
        }
    }

    /// Does nothing: the name goes with the instance that listens, when this is dropped.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "on Unix something is removed")]
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Does nothing: no name can stay.
    pub(crate) fn persist(self) {}

    /// The name cannot lead elsewhere while an instance has it.
    pub(crate) fn is_unlinked(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::Event;
    use super::super::testing::{
        NOW, PLAIN, alone, is_wine, pipe, read_bytes, reader, timely, within, writer,
    };
    use super::*;
    use crate::sys::WaitLimit;

    fn kind(error: &io::Error) -> String {
        error.to_string()
    }

    #[test]
    fn c1_one_owner() {
        if is_wine("FILE_FLAG_FIRST_PIPE_INSTANCE is ignored") {
            return;
        }
        let (path, _node) = pipe();
        let error = Node::create(&path, &Settings::default()).unwrap_err();
        assert!(kind(&error).contains("another process owns"), "{error}");
    }

    #[test]
    fn c12_quick_clients() {
        timely(|| {
            let (path, mut node) = pipe();
            let clients = thread::spawn(move || {
                for i in 0..200_u8 {
                    let mut end = loop {
                        match Raw::open(&path, Way::Out, false, NOW) {
                            Ok(end) => break end,
                            Err(error) => {
                                assert_ne!(error.kind(), io::ErrorKind::NotFound, "{i}");
                                assert!(kind(&error).contains("as many clients"), "{error}");
                                thread::yield_now();
                            }
                        }
                    };
                    assert_eq!(end.write(&[i], PLAIN).unwrap(), 1);
                }
            });
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut got = Vec::new();
            while got.len() < 200 {
                let mut buf = [0; 16];
                let read = end.read(&mut buf, within(10_000)).unwrap();
                if read == 0 {
                    end.renew().unwrap();
                }
                got.extend_from_slice(&buf[..read]);
            }
            clients.join().unwrap();
            got.sort_unstable();
            assert_eq!(got, (0..200).collect::<Vec<u8>>());
        });
    }

    #[test]
    fn c13_a_client_that_came_wrote_and_left_is_read() {
        timely(|| {
            let (path, mut node) = pipe();
            assert_eq!(writer(&path).write(b"gone", PLAIN).unwrap(), 4);
            thread::sleep(Duration::from_millis(50));
            let mut end = node.open(Way::In, NOW).unwrap();
            assert_eq!(read_bytes(&mut end, 9), b"gone");
            assert_eq!(end.read(&mut [0; 8], PLAIN).unwrap(), 0);
        });
    }

    #[test]
    fn c16_close_keeps_bytes() {
        timely(|| {
            let (path, mut node) = pipe();
            let client = thread::spawn(move || {
                let mut end = reader(&path);
                thread::sleep(Duration::from_millis(100));
                read_bytes(&mut end, 100)
            });
            let mut end = node.open(Way::Out, within(10_000)).unwrap();
            assert_eq!(end.write(b"news", PLAIN).unwrap(), 4);
            drop(end);
            assert_eq!(client.join().unwrap(), b"news");
        });
    }

    #[test]
    fn an_end_opens_again_and_serves_who_came_between() {
        timely(|| {
            let (path, mut node) = pipe();
            for round in 0..3_u8 {
                let mut end = node.open(Way::In, NOW).unwrap();
                let mut first = writer(&path);
                first.write(&[round], PLAIN).unwrap();
                assert_eq!(read_bytes(&mut end, 1), [round]);
                drop(end);
                assert_eq!(first.write(b"x", PLAIN).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
                let mut between = writer(&path);
                between.write(&[100 + round], PLAIN).unwrap();
                drop(between);
                let mut end = node.open(Way::In, NOW).unwrap();
                assert_eq!(read_bytes(&mut end, 9), [100 + round]);
            }
        });
    }

    #[test]
    fn a_writing_end_waits_for_a_reader() {
        timely(|| {
            let (path, mut node) = pipe();
            let error = node.open(Way::Out, NOW).unwrap_err();
            assert!(kind(&error).contains("no process reads"), "{error}");
            let error = node.open(Way::Out, within(20)).unwrap_err();
            assert!(kind(&error).contains("the deadline passed"), "{error}");
            let token = Event::new().unwrap();
            let wait = Wait { until: WaitLimit::Done, token: Some(&token) };
            thread::scope(|scope| {
                let waiting = scope.spawn(move || (node.open(Way::Out, wait).unwrap_err(), node));
                thread::sleep(Duration::from_millis(50));
                let begin = Instant::now();
                token.set();
                let (error, mut node) = waiting.join().unwrap();
                assert!(kind(&error).contains("cancelled"), "{error}");
                assert!(begin.elapsed() < Duration::from_secs(20));
                let client = scope.spawn(move || read_bytes(&mut reader(&path), 2));
                let mut end = node.open(Way::Out, within(10_000)).unwrap();
                end.write(b"ok", PLAIN).unwrap();
                assert_eq!(client.join().unwrap(), b"ok");
            });
        });
    }

    #[test]
    fn what_a_thread_began_outlives_it() {
        timely(|| {
            let (path, mut node) = thread::spawn(pipe).join().unwrap();
            let (mut client, mut end) = thread::spawn(move || {
                let mut end = node.open(Way::In, NOW).unwrap();
                let mut client = writer(&path);
                client.write(b"a", PLAIN).unwrap();
                assert_eq!(read_bytes(&mut end, 1), b"a");
                (client, (end, node))
            })
            .join()
            .unwrap();
            client.write(b"b", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut end.0, 1), b"b");
        });
    }

    #[test]
    fn no_handle_is_left() {
        // In a process of its own, where no other test opens handles.
        let status = alone("node::tests::no_handle_is_left_alone").status();
        assert!(status.unwrap().success());
    }

    #[test]
    #[ignore = "run by the test above"]
    fn no_handle_is_left_alone() {
        fn round() {
            let (path, mut node) = pipe();
            let mut end = node.open(Way::In, NOW).unwrap();
            let mut client = writer(&path);
            client.write(b"a", PLAIN).unwrap();
            assert_eq!(read_bytes(&mut end, 1), b"a");
            let clients: [_; BACKLOG] = std::array::from_fn(|_| writer(&path));
            assert!(Raw::open(&path, Way::In, false, within(5)).is_err());
            drop(clients);
        }
        round();
        let before = super::super::testing::handles();
        for _ in 0..200 {
            round();
        }
        assert_eq!(super::super::testing::handles(), before);
    }
}
