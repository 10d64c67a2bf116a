//! What each fault says.

use super::super::{FORMAT, read};
use super::ALL;

/// What is changed in [`ALL`], into what, and what is said of it. `\n` is the end of a line.
const CASES: &str = r###"
canald-sim = 1
=> canald-sim = 2\nnovelty = 3
2: `canald-sim` is 2; expected 1, the only format of plans that this version reads

canald-sim = 1\n
=>
1: the plan is without `canald-sim`; expected all of canald-sim, seed, options, run

canald-sim = 1
=> canald-sim = "1"
2: `canald-sim` is "1"; expected 1, the only format of plans that this version reads

seed = 18446744073709551615\n
=>
1: the plan is without `seed`; expected all of canald-sim, seed, options, run

18446744073709551615
=> 18446744073709551616
3: `seed` is 18446744073709551616; expected a whole number from 0 to 18446744073709551615

18446744073709551615
=> -1
3: `seed` is -1; expected a whole number from 0 to 18446744073709551615

[run]
=> [runs]
29: `runs` is no key of the plan; expected canald-sim, seed, options or run

checksum = true\n
=>
5: [options] is without `checksum`; expected all of flavor, gtid, full_metadata, checksum, rows_per_event, ring_entries, ring_unit, count_entries, transaction_entries, ddl_isolation, window, segment, latency, disk_latency, reader_idle, clients

checksum = true
=> checksums = true
9: `checksums` is no key of [options]; expected flavor, gtid, full_metadata, checksum, rows_per_event, ring_entries, ring_unit, count_entries, transaction_entries, ddl_isolation, window, segment, latency, disk_latency, reader_idle or clients

checksum = true
=> checksum = true\nchecksum = true
10: TOML: duplicate key; expected valid TOML

checksum = true
=> checksum = yes
9: TOML: string values must be quoted; expected literal string

checksum = true
=> checksum = 1
9: `checksum` is 1; expected true or false

checksum = true
=> checksum =
9: TOML: string values must be quoted; expected literal string

"mysql"
=> "oracle"
6: `flavor` is "oracle"; expected mysql or mariadb

"mysql"
=> 1.5
6: `flavor` is 1.5; expected mysql or mariadb

"mysql"
=> 1979-05-27
6: `flavor` is 1979-05-27; expected mysql or mariadb

"mysql"
=> []
6: `flavor` is a list; expected mysql or mariadb

"mysql"
=> {}
6: `flavor` is a table; expected mysql or mariadb

rows_per_event = 3
=> rows_per_event = 0
10: `rows_per_event` is 0; expected a whole number from 1 to 4294967295

ring_entries = 64
=> ring_entries = 48
11: `ring_entries` is 48; expected a power of two from 1 to 16777216

ring_entries = 64
=> ring_entries = 33554432
11: `ring_entries` is 33554432; expected a power of two from 1 to 16777216

ring_entries = 64
=> ring_entries = 8
14: `transaction_entries` is 16; expected a power of two from 1 to 8, the entries of the ring

transaction_entries = 16
=> transaction_entries = 0
14: `transaction_entries` is 0; expected a power of two from 1 to 64, the entries of the ring

transaction_entries = 16
=> transaction_entries = 24
14: `transaction_entries` is 24; expected a power of two from 1 to 64, the entries of the ring

window = 4096
=> window = 0
16: `window` is 0; expected a whole number from 1 to 1073741824

segment = 536
=> segment = 2147483648
17: `segment` is 2147483648; expected a whole number from 1 to 1073741824

"100us..2ms"
=> "3ms..2ms"
18: `latency` is "3ms..2ms"; expected the least and the most, such as "100us..2ms"

"100us..2ms"
=> "2ms"
18: `latency` is "2ms"; expected the least and the most, such as "100us..2ms"

disk_latency = "0s"
=> disk_latency = "0"
19: `disk_latency` is "0"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

disk_latency = "0s"
=> disk_latency = 0
19: `disk_latency` is 0; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

reader_idle = "60s"
=> reader_idle = "1.5s"
20: `reader_idle` is "1.5s"; expected whole seconds, at least one, such as 60s

1001 good, batch 100
=> 1001 nice, batch 100
22: `nice` in "1001 nice, batch 100"; expected good, ahead, slow, forgetful or rude

1001 good, batch 100
=> 32000 good, batch 100
22: `32000` in "32000 good, batch 100"; expected a client id from 0 to 31999

1001 good, batch 100
=> -1 good, batch 100
22: `-1` in "-1 good, batch 100"; expected a client id from 0 to 31999

1001 good, batch 100
=> 1001 good, batch 0
22: `0` in "1001 good, batch 0"; expected a whole number from 1 to 2147483647

1001 good, batch 100
=> 1001 good batch 100
22: `batch` in "1001 good batch 100"; expected `,`

1001 good, batch 100
=> 1001 good, batch 100 KiB
22: `KiB` in "1001 good, batch 100 KiB"; expected nothing more

1001 good, batch 100
=>
22: the end of ""; expected a client id from 0 to 31999

0.120s commit
=> commit
31: `commit` in "commit t0 +3 ~2 -1 text 40, t1 +1, t2"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

0.120s commit
=> 0.120 commit
31: `0.120` in "0.120 commit t0 +3 ~2 -1 text 40, t1 +1, t2"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

0.120s commit
=> 0.1200000001s commit
31: `0.1200000001s` in "0.1200000001s commit t0 +3 ~2 -1 text 40, t1 +1, t2"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

0.120s commit
=> 86401s commit
31: `86401s` in "86401s commit t0 +3 ~2 -1 text 40, t1 +1, t2"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

0.120s commit
=> 99999999999999999999s commit
31: `99999999999999999999s` in "99999999999999999999s commit t0 +3 ~2 -1 text 40, t1 +1, t2"; expected a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

0.120s commit t0 +3 ~2 -1 text 40, t1 +1, t2
=> 0.120s comit t0
31: `comit` in "0.120s comit t0"; expected commit, empty, alter, truncate or rotate

0.120s commit t0 +3 ~2 -1 text 40, t1 +1, t2
=> 0.120s commit
31: the end of "0.120s commit"; expected t0, t1 or t2

0.120s commit t0 +3 ~2 -1 text 40, t1 +1, t2
=> 0.120s commit t3 +1
31: `t3` in "0.120s commit t3 +1"; expected t0, t1 or t2

t1 +1, t2
=> t1 +1, t2,
31: the end of "0.120s commit t0 +3 ~2 -1 text 40, t1 +1, t2,"; expected t0, t1 or t2

~2 -1 text 40
=> -1 ~2 text 40
31: `~2` in "0.120s commit t0 +3 -1 ~2 text 40, t1 +1, t2"; expected +INSERTS ~UPDATES -DELETES text BYTES, in this order, or a comma and another table

~2 -1 text 40
=> ~2 -1 text
31: `,` in "0.120s commit t0 +3 ~2 -1 text, t1 +1, t2"; expected a whole number

~2 -1 text 40
=> ~2 -1 text forty
31: `forty` in "0.120s commit t0 +3 ~2 -1 text forty, t1 +1, t2"; expected a whole number

alter t1 add
=> alter t1
33: the end of "0.400s alter t1"; expected add or drop

alter t1 add
=> alter t1 truncate
33: `truncate` in "0.400s alter t1 truncate"; expected add or drop

truncate t2
=> truncate shop.t2
35: `shop.t2` in "0.600s truncate shop.t2"; expected t0, t1 or t2

rotate
=> rotate now
36: `now` in "12.345678s rotate now"; expected nothing more

"0.600s truncate t2"
=> ["0.600s truncate t2"]
35: a list in `workload`; expected a list of items in quotes

"0.600s truncate t2",
=> "0.600s truncate t2"\n
37: TOML: missing comma between array elements; expected `,`

cut source 2s
=> cut
39: the end of "0.000s cut"; expected canald, source, client-0, client-1, client-2, client-3 or client-4

cut source 2s
=> cut client-5 2s
39: `client-5` in "0.000s cut client-5 2s"; expected canald, source, client-0, client-1, client-2, client-3 or client-4

cut source 2s
=> cut canald 2s
39: `2s` in "0.000s cut canald 2s"; expected `->`

cut source 2s
=> cut source
39: the end of "0.000s cut source"; expected -> canald, or a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

cut source 2s
=> cut source forever
39: `forever` in "0.000s cut source forever"; expected -> canald, or a time up to a day, to the nanosecond, such as 1.5s, 20ms, 137us or 12ns

canald -> client-0
=> source -> client-0
40: `client-0` in "1.500s cut source -> client-0 1.5s"; expected `canald`

canald -> client-0
=> canald -> canald
40: `canald` in "1.500s cut canald -> canald 1.5s"; expected source, client-0, client-1, client-2, client-3 or client-4

reset client-1
=> reset canald
42: `canald` in "1.600s reset canald"; expected source, client-0, client-1, client-2, client-3 or client-4

half-open source 3s
=> half-open 3s
43: `3s` in "1.700s half-open 3s"; expected source, client-0, client-1, client-2, client-3 or client-4

restart source
=> restart canald
44: `canald` in "1.800s restart canald 1s"; expected `source`

drop dump
=> drop
45: the end of "1.900s drop"; expected `dump`

crash canald
=> crash source
46: `source` in "2.000s crash source 137us"; expected canald, client-0, client-1, client-2, client-3 or client-4

after 3 steps
=> after 3s
47: `3s` in "2.100s power loss after 3s 12ns"; expected a whole number

after 3 steps
=> soon
47: `soon` in "2.100s power loss soon 12ns"; expected `after`

stop canald
=> stop
48: `1.000000001s` in "2.200s stop 1.000000001s"; expected `canald`

pause canald
=> pause client-0
49: `client-0` in "2.300s pause client-0 20s"; expected `canald`

disk full
=> disk empty
51: `empty` in "2.500s disk empty 1.001ms"; expected fails or full

wall clock +3600s
=> wall clock 3600s
52: `3600s` in "2.600s wall clock 3600s"; expected a jump such as +3600s or -3s

wall clock +3600s
=> wall clock +1h
52: `+1h` in "2.600s wall clock +1h"; expected a jump such as +3600s or -3s

wall clock +3600s
=> wall time +1s
52: `time` in "2.600s wall time +1s"; expected `clock`

rollback client-1
=> rollback source
55: `source` in "2.900s rollback source"; expected client-0, client-1, client-2, client-3 or client-4

drop dump
=> explode
45: `explode` in "1.900s explode"; expected cut, reset, half-open, restart, drop, crash, power, stop, pause, disk, wall or rollback

drop dump
=>
45: the end of "1.900s "; expected cut, reset, half-open, restart, drop, crash, power, stop, pause, disk, wall or rollback

drop dump"
=> drop \"dump"
45: `\"dump` in "1.900s drop \"dump"; expected `dump`

"1.900s drop dump"
=> "1.900s drop dump
45: TOML: invalid basic string; expected `"`

seed = 18446744073709551615
=> "se\u000aed" = 1
3: `se\ned` is no key of the plan; expected canald-sim, seed, options or run

1.900s drop dump
=> 1.900s drop \u001b[dump
45: `\u{1b}[dump` in "1.900s drop \u{1b}[dump"; expected `dump`
"###;

#[test]
fn every_fault_names_its_line_what_is_there_and_what_could_be() {
    for case in CASES.trim().split("\n\n") {
        let lines: Vec<&str> = case.lines().collect();
        let [from, to, said] = lines[..] else {
            panic!("no case: {case}");
        };
        let (from, to) = (from.replace("\\n", "\n"), to.replace("\\n", "\n"));
        let to = to.strip_prefix("=>").unwrap().trim_start_matches(' ');
        assert_eq!(ALL.matches(&from).count(), 1, "{from}");
        let fault = read("a.toml", &ALL.replacen(&from, to, 1)).expect_err(case);
        assert_eq!(fault.to_string(), format!("a.toml:{said}"), "{case}");
    }
}

#[test]
fn a_text_that_is_no_plan_is_refused() {
    let keys = "canald-sim, seed, options, run";
    let cases = [
        (
            "",
            format!("1: the plan is without `canald-sim`; expected all of {keys}"),
        ),
        (
            "\n\n seed",
            "3: TOML: key with no value; expected `=`".to_owned(),
        ),
        (
            "canald-sim = 1\nseed = 1",
            format!("1: the plan is without `options`; expected all of {keys}"),
        ),
        (
            "canald-sim = 1\nseed = 1\noptions = 1\nrun = 1",
            "3: `options` is 1; expected [options] with its keys".to_owned(),
        ),
    ];
    for (text, said) in cases {
        let fault = read("b.toml", text).expect_err(text);
        assert_eq!(fault.to_string(), format!("b.toml:{said}"));
    }
}

#[test]
fn a_plan_has_as_many_clients_as_can_be_numbered() {
    let begin = ALL.find("clients = [").unwrap();
    let end = begin + ALL[begin..].find(']').unwrap();
    let (before, after) = (&ALL[..begin], &ALL[end..]);
    let with = |count: usize| {
        let clients = "\"7 good, batch 1\",\n".repeat(count);
        let faults = after.replace(
            "crash client-4",
            &format!("crash client-{}", count.max(1) - 1),
        );
        read("a.toml", &format!("{before}clients = [{clients}{faults}"))
    };
    assert_eq!(with(255).unwrap().options.clients.len(), 255);
    for count in [0, 256] {
        let said = format!("a.toml:21: {count} clients; expected 1 to 255");
        assert_eq!(with(count).unwrap_err().to_string(), said);
    }
    let said = "a.toml:37: `client-1` in \"1.600s reset client-1\"; expected source or client-0";
    assert_eq!(with(1).unwrap_err().to_string(), said);
}

#[test]
fn the_version_is_judged_before_all_else() {
    let text = format!("canald-sim = {}\nweather = \"rain\"", FORMAT + 1);
    let said =
        "a.toml:1: `canald-sim` is 2; expected 1, the only format of plans that this version reads";
    assert_eq!(read("a.toml", &text).unwrap_err().to_string(), said);
}
