//! Replays the committed corpora: what was found once, and what reaches far, stays right.

use std::fs;
use std::path::Path;

use canald_fuzz::TARGETS;

/// Inputs that a corpus has at least: fewer are the sign of a checkout that went wrong.
const INPUTS_MIN: usize = 10;

#[test]
fn every_target_takes_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in TARGETS {
        let folder = corpora.join(name);
        let listed = fs::read_dir(&folder);
        let listed = listed.unwrap_or_else(|e| panic!("no corpus in {}: {e}", folder.display()));
        let mut inputs: Vec<_> = listed.map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        let count = inputs.len();
        assert!(
            count >= INPUTS_MIN,
            "{} has {count} inputs",
            folder.display()
        );
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            // The name of the input is shown only if it is a finding.
            println!("{}", input.display());
            target(&bytes);
        }
    }
}
