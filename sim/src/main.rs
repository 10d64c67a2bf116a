//! `cargo sim`.

use canald_sim::plan::draw::{Size, draw};
use canald_sim::run::run;

fn main() {
    let mut args = std::env::args().skip(1);
    let from: u64 = args.next().unwrap().parse().unwrap();
    let count: u64 = args.next().unwrap().parse().unwrap();
    let trace = args.next().is_some();
    for seed in from..from + count {
        let plan = draw(seed, Size::Lite);
        let mut watchers: Vec<canald_sim::journal::Watcher> = Vec::new();
        if trace {
            watchers.push(Box::new(|at, record| {
                let text = format!("{record:?}");
                println!("{at:?} {}", text.chars().take(300).collect::<String>());
            }));
        }
        let outcome = run(
            &plan,
            canald_sim::run::Extras {
                watchers,
                is_traced: trace,
                files: None,
            },
        );
        println!("{seed}: {outcome:?}");
    }
}
