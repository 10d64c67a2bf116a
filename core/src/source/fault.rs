//! What the end of a dump means (binlog-parser reference §1.12): stop in a named state, or try again.
//!
//! A server says almost everything with error 1236, so its text decides. [`Retries`] spaces the
//! attempts: 1 s doubling to 30 s, with jitter, and ends them when another replica keeps evicting us.

use alloc::collections::VecDeque;
use alloc::string::String;
use core::fmt;

use super::facts::SourceIdentity;
use crate::mysql::query::ServerError;
use crate::position::BinlogPosition;
use crate::rng::Rng;
use crate::time::{Duration, Instant, WallMillis};

/// Why a server refused a dump or ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpFault {
    /// The binlog file is not there any more.
    Purged,
    /// The offset is beyond the end of the file: the server lost the end of its log, or is another one.
    ImpossiblePosition,
    /// The offset is inside an event.
    NotOnEventBoundary,
    /// Another replica with our server id or UUID came.
    DuplicateReplica,
    /// The GTIDs after ours are in files that are not there any more.
    GtidPurged,
    /// The server does not know our GTIDs: it is behind, or of another history.
    GtidUnknown,
    /// A dump by GTID from a server that does not use them.
    GtidModeOff,
    /// The server has no binlog.
    BinlogOff,
    /// The server cannot read its own binlog.
    SourceCorrupt,
    /// The dump's session did not say that it knows checksums.
    ChecksumNotNegotiated,
    /// The account may not dump.
    Denied,
    /// Anything else, such as a shutdown.
    Other,
}

/// Fragments of the texts of error 1236, lower case, over all versions of both families; the first match counts.
const TEXTS: &[(&str, DumpFault)] = &[
    ("same server_uuid/server_id", DumpFault::DuplicateReplica),
    ("could not find first log file name", DumpFault::Purged),
    ("could not find next log", DumpFault::Purged),
    ("could not find gtid state requested", DumpFault::GtidPurged),
    ("purged required binary logs", DumpFault::GtidPurged),
    (
        "has purged binary logs containing gtids",
        DumpFault::GtidPurged,
    ),
    ("more gtids than", DumpFault::GtidUnknown),
    ("is not in the master's binlog", DumpFault::GtidUnknown),
    ("gtid_mode = off", DumpFault::GtidModeOff),
    ("impossible position", DumpFault::ImpossiblePosition),
    ("position > file size", DumpFault::ImpossiblePosition),
    ("exceeded max_allowed_packet", DumpFault::NotOnEventBoundary),
    ("binary log is not open", DumpFault::BinlogOff),
    ("with the checksum that", DumpFault::ChecksumNotNegotiated),
    ("bogus data in log event", DumpFault::SourceCorrupt),
    ("truncated in the middle", DumpFault::SourceCorrupt),
    ("crc check failed", DumpFault::SourceCorrupt),
    ("purged", DumpFault::Purged),
];

impl DumpFault {
    /// What a server means by `error`.
    #[must_use]
    pub fn classify(error: &ServerError) -> Self {
        if error.is_denied() {
            return Self::Denied;
        }
        if error.code != ServerError::MASTER_FATAL_READING_BINLOG {
            return Self::Other;
        }
        let text = error.message.to_ascii_lowercase();
        let found = TEXTS.iter().find(|(fragment, _)| text.contains(fragment));
        let fault = found.map_or(Self::Other, |(_, fault)| *fault);
        if matches!(fault, Self::SourceCorrupt | Self::NotOnEventBoundary) {
            Self::misread(&text)
        } else {
            fault
        }
    }

    /// A server that reads nonsense blames its log. It is our position that is wrong if the nonsense
    /// stands right there: the server tells where it was asked to begin, and the last event it could read.
    fn misread(text: &str) -> Self {
        let place_after = |mark: &str| {
            let tail = &text[text.find(mark)? + mark.len()..];
            let digits = &tail[tail.find("' at ")? + "' at ".len()..];
            let end = digits
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(digits.len());
            digits[..end].parse::<u64>().ok()
        };
        match (
            place_after("the first event"),
            place_after("the last event read"),
        ) {
            (Some(first), Some(last)) if last >= first => Self::SourceCorrupt,
            (Some(_), Some(_)) => Self::NotOnEventBoundary,
            _ if text.contains("exceeded max_allowed_packet") => Self::NotOnEventBoundary,
            _ => Self::SourceCorrupt,
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> Remedy {
        match self {
            Self::Purged => Remedy::Stop(StopReason::PositionPurged),
            Self::ImpossiblePosition => Remedy::Stop(StopReason::PositionImpossible),
            Self::NotOnEventBoundary => Remedy::Stop(StopReason::PositionInsideEvent),
            Self::GtidPurged => Remedy::Stop(StopReason::GtidPurged { missing: None }),
            Self::GtidUnknown => Remedy::Stop(StopReason::GtidUnknown { ahead: None }),
            Self::GtidModeOff => Remedy::Stop(StopReason::GtidModeOff),
            Self::BinlogOff => Remedy::Stop(StopReason::BinlogOff),
            Self::SourceCorrupt => Remedy::Stop(StopReason::SourceCorrupt),
            Self::ChecksumNotNegotiated => Remedy::Stop(StopReason::ChecksumNotNegotiated),
            Self::Denied => Remedy::Stop(StopReason::Denied),
            Self::DuplicateReplica | Self::Other => Remedy::Retry,
        }
    }
}

/// What the end of a dump asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing moves until an operator decides.
    Stop(StopReason),
    /// Connect again after a while.
    Retry,
}

/// Why a destination stands still: the named states of its source. One line each, with the cure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The file we need is gone.
    PositionPurged,
    /// The offset is beyond the file.
    PositionImpossible,
    /// The offset is inside an event.
    PositionInsideEvent,
    /// The GTIDs we need are gone.
    GtidPurged {
        /// Those that are gone and that we do not have, if known.
        missing: Option<String>,
    },
    /// The server lacks GTIDs that we have.
    GtidUnknown {
        /// Those, if known.
        ahead: Option<String>,
    },
    /// A GTID start on a server without GTIDs.
    GtidModeOff,
    /// No binlog on the server.
    BinlogOff,
    /// The server cannot read its own binlog.
    SourceCorrupt,
    /// Checksums were not negotiated.
    ChecksumNotNegotiated,
    /// A privilege is missing.
    Denied,
    /// Another replica has our server id and UUID.
    DuplicateReplica,
    /// The place was recorded on another server and cannot be carried over.
    SwitchUnproven {
        /// The place.
        place: BinlogPosition,
        /// Where it was recorded, if known.
        recorded_on: Option<SourceIdentity>,
        /// The server we are connected to.
        connected_to: SourceIdentity,
        /// The end of its log, if it has one.
        end: Option<BinlogPosition>,
    },
    /// The cursor names no binlog file.
    PlaceWithoutFile,
    /// Every file of the server is newer than the time wanted.
    TimeBeforeLog {
        /// The time wanted.
        wanted: WallMillis,
    },
}

impl StopReason {
    /// The state's name, as `status` shows it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PositionPurged => "PositionPurged",
            Self::PositionImpossible => "PositionImpossible",
            Self::PositionInsideEvent => "PositionInsideEvent",
            Self::GtidPurged { .. } => "GtidPurged",
            Self::GtidUnknown { .. } => "GtidUnknown",
            Self::GtidModeOff => "GtidModeOff",
            Self::BinlogOff => "BinlogOff",
            Self::SourceCorrupt => "SourceCorrupt",
            Self::ChecksumNotNegotiated => "ChecksumNotNegotiated",
            Self::Denied => "Denied",
            Self::DuplicateReplica => "DuplicateReplica",
            Self::SwitchUnproven { .. } => "SwitchUnproven",
            Self::PlaceWithoutFile => "PlaceWithoutFile",
            Self::TimeBeforeLog { .. } => "TimeBeforeLog",
        }
    }

    /// Whether canal's auto-reset key may end this state by going on at the end of the log, the gap recorded.
    #[must_use]
    pub const fn allows_reset(&self) -> bool {
        match self {
            Self::PositionPurged
            | Self::PositionImpossible
            | Self::GtidPurged { .. }
            | Self::GtidUnknown { .. } => true,
            Self::PositionInsideEvent
            | Self::GtidModeOff
            | Self::BinlogOff
            | Self::SourceCorrupt
            | Self::ChecksumNotNegotiated
            | Self::Denied
            | Self::DuplicateReplica
            | Self::SwitchUnproven { .. }
            | Self::PlaceWithoutFile
            | Self::TimeBeforeLog { .. } => false,
        }
    }

    const fn cure(&self) -> &'static str {
        const SET: &str = "restore the files, or accept the gap: begin anew elsewhere (stop canald, remove the \
                           destination's canald.meta, name the place with --start), or set \
                           canal.auto.reset.latest.pos.mode=true";
        match self {
            Self::PositionPurged | Self::GtidPurged { .. } => SET,
            Self::PositionImpossible => {
                "the server lost the end of its log or is another one: compare it with its peers, \
                 then begin anew (stop canald, remove the destination's canald.meta, start with --start)"
            }
            Self::PositionInsideEvent => {
                "begin at the end of a transaction (SHOW BINLOG EVENTS lists them): stop canald, remove the \
                 destination's canald.meta, start with --start FILE:OFFSET"
            }
            Self::GtidUnknown { .. } => {
                "wait until the server has caught up, connect to one that has these transactions, \
                 or begin anew (stop canald, remove the destination's canald.meta, start with --start)"
            }
            Self::GtidModeOff => "set gtid_mode=ON on the server, or canal.instance.gtidon=false",
            Self::BinlogOff => "set log_bin on the server and restart it",
            Self::SourceCorrupt => {
                "check the server's disk and error log; connect to a replica, or begin behind \
                 the damage (stop canald, remove the destination's canald.meta, start with --start)"
            }
            Self::ChecksumNotNegotiated => {
                "something between canald and the server drops the session's variables: connect directly"
            }
            Self::Denied => {
                "GRANT REPLICATION SLAVE ON *.* to canal.instance.dbUsername (canald check names it whole)"
            }
            Self::DuplicateReplica => {
                "stop the other one, or set canal.instance.mysql.slaveId to an id of its own"
            }
            Self::SwitchUnproven { .. } => {
                "connect to the server it was recorded on, use GTIDs, or set \
                 canald.switch.by.time=true"
            }
            Self::PlaceWithoutFile => {
                "begin anew (stop canald, remove the destination's canald.meta, start with --start), or \
                 set canald.switch.by.time=true"
            }
            Self::TimeBeforeLog { .. } => "choose a later time, or --start earliest",
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PositionPurged => {
                f.write_str("the source has purged the binlog file to read next")
            }
            Self::PositionImpossible => {
                f.write_str("the position is beyond the end of its binlog file")
            }
            Self::PositionInsideEvent => {
                f.write_str("the position is not at the start of an event")
            }
            Self::GtidPurged { missing: None } => {
                f.write_str("the source has purged transactions that are to be read next")
            }
            Self::GtidPurged { missing: Some(set) } => {
                write!(
                    f,
                    "the source has purged transactions that are to be read next ({set})"
                )
            }
            Self::GtidUnknown { ahead: None } => {
                f.write_str("the source does not have all transactions that were delivered already")
            }
            Self::GtidUnknown { ahead: Some(set) } => {
                write!(
                    f,
                    "the source does not have transactions that were delivered already ({set})"
                )
            }
            Self::GtidModeOff => f.write_str("the source does not use GTIDs, and the start is one"),
            Self::BinlogOff => f.write_str("the source writes no binlog"),
            Self::SourceCorrupt => f.write_str("the source cannot read its own binlog"),
            Self::ChecksumNotNegotiated => {
                f.write_str("the source did not learn that canald knows checksums")
            }
            Self::Denied => f.write_str("the account may not read the binlog"),
            Self::DuplicateReplica => f.write_str(
                "another replica with the same server id and UUID keeps ending this dump",
            ),
            Self::SwitchUnproven {
                place,
                recorded_on,
                connected_to,
                end,
            } => {
                write!(f, "the place {place} was recorded on ")?;
                match recorded_on {
                    Some(identity) => write!(f, "{identity}")?,
                    None => f.write_str("another address")?,
                }
                write!(f, " and means nothing on {connected_to}")?;
                end.as_ref()
                    .map_or(Ok(()), |end| write!(f, ", whose log ends at {end}"))
            }
            Self::PlaceWithoutFile => f.write_str("the stored cursor names no binlog file"),
            Self::TimeBeforeLog { wanted } => {
                write!(
                    f,
                    "every binlog file of the source is newer than {} ms",
                    wanted.0
                )
            }
        }?;
        write!(f, ": {}", self.cure())
    }
}

/// The first pause before connecting again.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest pause.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Evictions by a duplicate within [`EVICTION_WINDOW`] after which we leave the field.
pub const EVICTIONS_MAX: usize = 3;
/// How long an eviction is remembered. Two duplicates evict each other at each connect, seconds apart.
pub const EVICTION_WINDOW: Duration = Duration::from_secs(600);

/// What follows a broken link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Connect again after this long.
    RetryIn(Duration),
    /// Stop.
    Stop(StopReason),
}

/// Pauses that double from [`BACKOFF_FIRST`] to [`BACKOFF_MAX`], each drawn from its upper half so that
/// many destinations of one lost server do not come back at the same moment.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// As if nothing had failed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { failures: 0 }
    }

    /// The pause after one more failure.
    pub fn next(&mut self, rng: &mut Rng) -> Duration {
        let doubled =
            BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let whole = doubled.min(BACKOFF_MAX);
        let half = whole / 2;
        let spread = u64::try_from((whole - half).as_nanos()).unwrap_or(u64::MAX);
        half + Duration::from_nanos(rng.below(spread))
    }

    /// Data flows: the next failure is the first again.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// When to connect again, and when to stop trying.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    backoff: Backoff,
    /// The latest evictions by a duplicate, oldest first; at most [`EVICTIONS_MAX`].
    evictions: VecDeque<Instant>,
}

impl Retries {
    /// What follows the end of a dump.
    pub fn after_dump(&mut self, fault: DumpFault, now: Instant, rng: &mut Rng) -> Verdict {
        match fault.remedy() {
            Remedy::Stop(reason) => Verdict::Stop(reason),
            Remedy::Retry if fault == DumpFault::DuplicateReplica && self.is_outdone(now) => {
                Verdict::Stop(StopReason::DuplicateReplica)
            }
            Remedy::Retry => self.after_link(rng),
        }
    }

    /// What follows a link that broke for any other reason.
    pub fn after_link(&mut self, rng: &mut Rng) -> Verdict {
        Verdict::RetryIn(self.backoff.next(rng))
    }

    /// Data flows. Evictions are remembered all the same: between two of them, data flows.
    pub const fn note_progress(&mut self) {
        self.backoff.reset();
    }

    /// Notes an eviction; true if it is one too many.
    fn is_outdone(&mut self, now: Instant) -> bool {
        while self
            .evictions
            .front()
            .is_some_and(|at| now.since(*at) > EVICTION_WINDOW)
        {
            self.evictions.pop_front();
        }
        self.evictions.push_back(now);
        let is_outdone = self.evictions.len() >= EVICTIONS_MAX;
        if is_outdone {
            self.evictions.clear();
        }
        is_outdone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mysql::query::tests::refusal;
    use crate::position::BinlogFile;
    use crate::rng::Seed;
    use alloc::string::ToString;

    #[test]
    fn the_texts_of_all_versions_are_told_apart() {
        for (text, fault) in [
            (
                "Could not find first log file name in binary log index file",
                DumpFault::Purged,
            ),
            (
                "could not find next log; the first event 'b.1' at 4",
                DumpFault::Purged,
            ),
            (
                "The slave is connecting using CHANGE MASTER TO MASTER_AUTO_POSITION = 1, but the master \
                 has purged binary logs containing GTIDs that the slave requires.",
                DumpFault::GtidPurged,
            ),
            (
                "Cannot replicate because the source purged required binary logs. Replicate the missing \
                 transactions from elsewhere",
                DumpFault::GtidPurged,
            ),
            (
                "Cannot replicate because the master purged required binary logs.",
                DumpFault::GtidPurged,
            ),
            (
                "Could not find GTID state requested by slave in any binlog files. Probably the slave state \
                 is too old and required binlog files have been purged.",
                DumpFault::GtidPurged,
            ),
            (
                "Slave has more GTIDs than the master has",
                DumpFault::GtidUnknown,
            ),
            (
                "Replica has more GTIDs than the source has",
                DumpFault::GtidUnknown,
            ),
            (
                "Error: connecting slave requested to start from GTID 0-1-99, which is not in the master's binlog",
                DumpFault::GtidUnknown,
            ),
            (
                "The replication sender thread cannot start in AUTO_POSITION mode: this server has \
                 GTID_MODE = OFF instead of ON.",
                DumpFault::GtidModeOff,
            ),
            (
                "Client requested master to start replication from position > file size",
                DumpFault::ImpossiblePosition,
            ),
            (
                "Client requested master to start replication from impossible position; the first event",
                DumpFault::ImpossiblePosition,
            ),
            (
                "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
                DumpFault::NotOnEventBoundary,
            ),
            (
                "bogus data in log event; the first event",
                DumpFault::SourceCorrupt,
            ),
            (
                "binlog truncated in the middle of event; consider out of disk space",
                DumpFault::SourceCorrupt,
            ),
            (
                "A replica with the same server_uuid/server_id as this replica has connected to the source",
                DumpFault::DuplicateReplica,
            ),
            (
                "A slave with the same server_uuid/server_id as this slave has connected to the master",
                DumpFault::DuplicateReplica,
            ),
            (
                "Slave can not handle replication events with the checksum that master is configured to log",
                DumpFault::ChecksumNotNegotiated,
            ),
            ("Binary log is not open", DumpFault::BinlogOff),
            ("I/O error reading log event", DumpFault::Other),
        ] {
            assert_eq!(DumpFault::classify(&refusal(1236, text)), fault, "{text}");
        }
        assert_eq!(
            DumpFault::classify(&refusal(1227, "Access denied")),
            DumpFault::Denied
        );
        assert_eq!(
            DumpFault::classify(&refusal(1053, "Server shutdown")),
            DumpFault::Other
        );
    }

    #[test]
    fn nonsense_right_at_our_position_is_our_fault_and_further_on_the_servers() {
        let at = |what, first, last| {
            let text = alloc::format!(
                "{what}; the first event 'binlog.000001' at {first}, the last event read from \
                 './binlog.000001' at {last}, the last byte read from './binlog.000001' at 2235."
            );
            DumpFault::classify(&refusal(1236, &text))
        };
        for what in [
            "binlog truncated in the middle of event; consider out of disk space on source",
            "bogus data in log event",
            "log event entry exceeded max_allowed_packet; Increase max_allowed_packet on source",
        ] {
            assert_eq!(at(what, 2232, 127), DumpFault::NotOnEventBoundary, "{what}");
            assert_eq!(at(what, 2000, 2100), DumpFault::SourceCorrupt, "{what}");
            assert_eq!(at(what, 4, 127), DumpFault::SourceCorrupt, "{what}");
        }
    }

    #[test]
    fn pauses_double_to_their_limit_within_their_upper_half_and_start_over_after_progress() {
        let (mut backoff, mut rng) = (Backoff::new(), Rng::new(Seed(3)));
        for whole in [1_u64, 2, 4, 8, 16, 30, 30, 30] {
            let pause = backoff.next(&mut rng);
            let whole = Duration::from_secs(whole);
            assert!(
                pause >= whole / 2 && pause < whole,
                "{pause:?} of {whole:?}"
            );
        }
        for _ in 0..100 {
            assert!(backoff.next(&mut rng) < BACKOFF_MAX);
        }
        backoff.reset();
        assert!(backoff.next(&mut rng) < BACKOFF_FIRST);
    }

    #[test]
    fn a_third_eviction_soon_after_the_others_ends_the_quarrel() {
        let (mut retries, mut rng) = (Retries::default(), Rng::new(Seed(3)));
        let mut evict = |seconds| {
            let now = Instant::ZERO + Duration::from_secs(seconds);
            retries.note_progress();
            retries.after_dump(DumpFault::DuplicateReplica, now, &mut rng)
        };
        for early in [0, 1, 700, 701] {
            assert!(matches!(evict(early), Verdict::RetryIn(_)), "{early}");
        }
        assert_eq!(evict(702), Verdict::Stop(StopReason::DuplicateReplica));
    }

    #[test]
    fn each_state_is_one_line_with_a_cure_and_only_lost_places_can_be_reset() {
        let place = BinlogPosition::new(BinlogFile::new("b.000001"), 4);
        let unproven = StopReason::SwitchUnproven {
            place,
            recorded_on: Some(SourceIdentity::ServerId(1)),
            connected_to: SourceIdentity::ServerId(2),
            end: None,
        };
        assert_eq!(
            unproven.to_string(),
            "the place b.000001:4 was recorded on server-1 and means nothing on server-2: connect to the \
             server it was recorded on, use GTIDs, or set canald.switch.by.time=true"
        );
        assert!(!unproven.allows_reset());
        assert!(StopReason::PositionPurged.allows_reset());
        for (_, fault) in TEXTS {
            if let Remedy::Stop(reason) = fault.remedy() {
                assert!(!reason.to_string().contains('\n'), "{reason}");
                assert!(!reason.name().is_empty());
            }
        }
    }
}
