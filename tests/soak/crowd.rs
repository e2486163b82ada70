//! Processes that are killed and started anew, and held up, while others last.

use std::ops::Range;

use crate::content::Dice;
use crate::ledger::{Count, NO_MORE};
use crate::process::Process;
use crate::site::Site;

/// Members of a load that are replaced when they are gone.
pub(crate) struct Crowd<'a> {
    site: &'a Site,
    load: &'static str,
    role: &'static str,
    members: Vec<Member<'a>>,
    dice: Dice,
}

struct Member<'a> {
    actors: Range<u64>,
    life: u64,
    process: Process<'a>,
}

impl<'a> Crowd<'a> {
    pub(crate) fn start(
        site: &'a Site,
        load: &'static str,
        role: &'static str,
        members: impl IntoIterator<Item = Range<u64>>,
    ) -> Self {
        let start = |actors: Range<u64>| {
            let process = Process::start(site, load, role, actors.clone(), 1);
            Member { actors, life: 1, process }
        };
        let members: Vec<_> = members.into_iter().map(start).collect();
        let dice = Dice::new(site.seed ^ members[0].actors.start);
        Self { site, load, role, members, dice }
    }

    /// Kills and holds up one after the other until all shall end. Those that last may be held up too.
    pub(crate) fn disturb(&mut self, lasting: &mut [Process<'_>]) {
        while !self.site.is_over() {
            self.dice.rest(20..300);
            lasting.iter_mut().for_each(Process::lasts);
            let chosen = self.dice.size(0..self.members.len());
            for at in 0..self.members.len() {
                if self.members[at].process.has_ended() {
                    self.replace(at);
                }
            }
            let pause = self.dice.milliseconds(1..150);
            match self.dice.from(0..8) {
                0..4 => self.replace(chosen),
                4..7 => self.members[chosen].process.suspend(pause),
                _ => lasting[self.dice.size(0..lasting.len())].suspend(pause),
            }
        }
    }

    /// Disturbs a server, a client of it that lasts and these others, until all shall end; the server ends last, when it is told.
    pub(crate) fn disturb_with(mut self, server: Process<'_>, steady: Process<'_>) {
        let ledger = &self.site.ledger;
        let mut lasting = [server, steady];
        self.disturb(&mut lasting);
        self.join();
        let [server, steady] = lasting;
        steady.join();
        ledger.set_count(server.actor(), Count::Gone, NO_MORE);
        server.join();
    }

    /// Waits for the end of all members.
    pub(crate) fn join(self) {
        self.members.into_iter().for_each(|member| member.process.join());
    }

    fn replace(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.process.kill();
        member.life += 1;
        let actors = member.actors.clone();
        member.process = Process::start(self.site, self.load, self.role, actors, member.life);
    }
}
