//! Whatever can be planned comes back, and whatever cannot be is refused with its line.

mod any;
mod refused;

use std::time::Duration;

use canald_core::rng::{Rng, Seed};

use self::any::Any;
use super::*;
use crate::host::Host;
use crate::plan::draw::{Size, draw};
use crate::plan::{Act, Change, ClientPlan, Fault, Flavor, PlannedFault, Step, Temper};

/// A plan with one of everything, as it is written.
const ALL: &str = r#"# A run of canald's simulator. Change it at will, and run it with: cargo sim replay FILE
canald-sim = 1
seed = 18446744073709551615

[options]
flavor = "mysql"
gtid = true
full_metadata = false
checksum = true
rows_per_event = 3
ring_entries = 64
ring_unit = 256
count_entries = false
transaction_entries = 16
ddl_isolation = true
window = 4096
segment = 536
latency = "100us..2ms"
disk_latency = "0s"
reader_idle = "60s"
clients = [
  "1001 good, batch 100",
  "1002 ahead, batch 10",
  "1003 slow, batch 1",
  "1004 forgetful, batch 7",
  "1004 rude, batch 2147483647",
]

[run]
workload = [
  "0.120s commit t0 +3 ~2 -1 text 40, t1 +1, t2",
  "0.120000001s empty",
  "0.400s alter t1 add",
  "0.500s alter t1 drop",
  "0.600s truncate t2",
  "12.345678s rotate",
]
faults = [
  "0.000s cut source 2s",
  "1.500s cut canald -> client-0 1.5s",
  "1.500s cut source -> canald 20ms",
  "1.600s reset client-1",
  "1.700s half-open source 3s",
  "1.800s restart source 1s",
  "1.900s drop dump",
  "2.000s crash canald 137us",
  "2.100s power loss after 3 steps 12ns",
  "2.200s stop canald 1.000000001s",
  "2.300s pause canald 20s",
  "2.400s disk fails 86400s",
  "2.500s disk full 1.001ms",
  "2.600s wall clock +3600s",
  "2.700s wall clock -9223372036854775808s",
  "2.800s crash client-4 3s",
  "2.900s rollback client-1",
]
"#;

#[test]
fn a_plan_reads_as_its_line_says() {
    let plan = read("a.toml", ALL).unwrap();
    assert_eq!(plan.seed, u64::MAX);
    assert_eq!(plan.options.flavor, Flavor::Mysql);
    assert_eq!(
        plan.options.latency,
        (Duration::from_micros(100), Duration::from_millis(2))
    );
    assert_eq!(
        plan.options.clients[3],
        ClientPlan {
            id: 1004,
            batch: 7,
            temper: Temper::Forgetful
        }
    );
    let change = |table, inserts, updates, deletes, text| Change {
        table,
        inserts,
        updates,
        deletes,
        text,
    };
    assert_eq!(
        plan.workload[0],
        Step {
            at: Duration::from_millis(120),
            act: Act::Commit {
                changes: vec![
                    change(0, 3, 2, 1, 40),
                    change(1, 1, 0, 0, 0),
                    change(2, 0, 0, 0, 0)
                ]
            }
        }
    );
    assert_eq!(
        plan.faults[1],
        PlannedFault {
            at: Duration::from_millis(1500),
            fault: Fault::CutOneWay {
                from: Host::Canald,
                to: Host::Client(0),
                lasts: Duration::from_millis(1500)
            }
        }
    );
    assert_eq!(write(&plan), ALL);
}

#[test]
fn items_are_put_in_order_of_time_and_those_of_one_time_stay_in_theirs() {
    let moved = ALL
        .replace("0.120000001s empty", "900ms empty")
        .replace("1.600s reset", "1us reset")
        .replace("1.700s half-open", "1.500s half-open");
    let plan = read("a.toml", &moved).unwrap();
    let acts: Vec<String> = plan.workload.iter().map(Step::to_string).collect();
    assert_eq!(acts[4], "0.900s empty");
    assert_eq!(acts[5], "12.345678s rotate");
    let faults: Vec<String> = plan.faults.iter().map(PlannedFault::to_string).collect();
    assert_eq!(
        faults[..5],
        [
            "0.000s cut source 2s",
            "0.000001s reset client-1",
            "1.500s cut canald -> client-0 1.5s",
            "1.500s cut source -> canald 20ms",
            "1.500s half-open source 3s",
        ]
    );
}

#[test]
fn hands_may_write_it_otherwise() {
    let by_hand = ALL
        .replace(
            "latency = \"100us..2ms\"",
            "latency = \"0.1ms..0.002s\" # small",
        )
        .replace("ring_entries = 64", "ring_entries = 0x40")
        .replace("window = 4096", "window = 4_096")
        .replace("~2 -1 text 40, t1 +1, t2", "~2  -1 text 40 ,t1 +1,t2")
        .replace("0.400s alter", "400ms  alter")
        .replace('\n', "\r\n");
    assert_eq!(read("a.toml", &by_hand), read("a.toml", ALL));
}

#[test]
fn every_plan_that_is_drawn_comes_back() {
    for seed in 0..500 {
        for size in [Size::Lite, Size::Swarm] {
            let plan = draw(seed, size);
            assert_eq!(read("a.toml", &write(&plan)), Ok(plan));
        }
    }
}

#[test]
fn every_plan_that_can_be_comes_back() {
    let mut any = Any(Rng::new(Seed(11)));
    for _ in 0..5_000 {
        let plan = any.plan();
        let text = write(&plan);
        assert_eq!(read("a.toml", &text), Ok(plan), "{text}");
    }
}

#[test]
fn damaged_text_is_another_plan_or_a_fault_of_one_of_its_lines() {
    let mut any = Any(Rng::new(Seed(12)));
    let (mut plans, mut faults) = (0, 0);
    for _ in 0..20_000 {
        let text = any.damaged(ALL);
        match read("a.toml", &text) {
            Ok(plan) => {
                plans += 1;
                assert_eq!(read("a.toml", &write(&plan)), Ok(plan), "{text}");
            }
            Err(fault) => {
                faults += 1;
                assert!(
                    (1..=text.lines().count() + 1).contains(&fault.line),
                    "{fault}"
                );
                assert_eq!(fault.to_string().lines().count(), 1, "{fault}");
            }
        }
    }
    assert!(
        plans > 1_000 && faults > 10_000,
        "{plans} plans, {faults} faults"
    );
}
