//! `cargo sim mutants`: bugs that are known, planted into a copy of canald one at a time. One that the
//! simulator does not find shows that the simulator is broken; a patch that does not apply any more tests
//! nothing and has to be renewed.
//!
//! The copy lies beside what `cargo sim` was built into, with build products of its own, so that all of them
//! together cost one build and the difference. The product itself has no hook for any of this.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use canald_core::rng::{Rng, Seed};

use crate::tool::Exit;

/// Seeds within which a planted bug must be found.
pub const SEEDS_MAX: u64 = 2000;

/// How many are chosen by a seed.
const CHOSEN: usize = 3;

/// Which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// These.
    Named(Vec<String>),
    /// Three, drawn from this seed.
    Three(u64),
}

/// Looks for them, and prints what each took.
///
/// # Errors
/// There is no such mutant, or the machine cannot copy or build.
#[expect(clippy::print_stdout, reason = "it is what the command is for")]
pub fn mutants(which: &Which, only_check: bool, seeds: u64) -> anyhow::Result<Exit> {
    let root = root()?;
    let patches = choose(&root, which)?;
    let mut exit = Exit::Passed;
    let copy = Copy::make(&root)?;
    for (name, patch) in &patches {
        if let Err(fault) = copy.apply(patch) {
            println!("{name:<40} DOES NOT APPLY: {fault:#}");
            exit = Exit::Mutant;
            continue;
        }
        if only_check {
            println!("{name:<40} applies");
            copy.take_back(patch)?;
            continue;
        }
        let began = Instant::now();
        let found = copy.hunt(seeds);
        copy.take_back(patch)?;
        let took = began.elapsed().as_secs();
        match found? {
            Some(told) => println!("{name:<40} {told} ({took} s)"),
            None => {
                println!("{name:<40} NOT FOUND within {seeds} seeds ({took} s)");
                exit = Exit::Mutant;
            }
        }
    }
    println!("{} mutants", patches.len());
    Ok(exit)
}

/// The root of the repository that this was built from.
fn root() -> anyhow::Result<PathBuf> {
    let sim = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = sim.parent().context("sim/ has a parent")?;
    ensure!(
        root.join("sim/mutants").is_dir(),
        "{} has no sim/mutants: mutants are planted into the tree that cargo sim was built from",
        root.display()
    );
    Ok(root.to_owned())
}

fn choose(root: &Path, which: &Which) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root.join("sim/mutants"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "patch")
            && let Some(name) = path.file_stem()
        {
            all.insert(name.to_string_lossy().into_owned(), path);
        }
    }
    let names: Vec<String> = match which {
        Which::All => return Ok(all),
        Which::Named(names) => names.clone(),
        Which::Three(seed) => {
            let mut names: Vec<String> = all.keys().cloned().collect();
            let mut rng = Rng::new(Seed(*seed));
            let mut chosen = Vec::new();
            while chosen.len() < CHOSEN && !names.is_empty() {
                chosen.push(names.swap_remove(rng.below(names.len() as u64) as usize));
            }
            chosen
        }
    };
    let known = || all.keys().cloned().collect::<Vec<_>>().join(", ");
    let mut chosen = BTreeMap::new();
    for name in names {
        let Some(path) = all.get(&name) else {
            bail!("there is no mutant {name}: there are {}", known());
        };
        chosen.insert(name, path.clone());
    }
    Ok(chosen)
}

/// A copy of the tree.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

/// What the copy needs of the tree.
const PARTS: [&str; 5] = ["Cargo.toml", "core", "runtime", "sim", "clippy.toml"];

impl Copy {
    fn make(root: &Path) -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        // TARGET/release/canald-sim
        let target = exe
            .ancestors()
            .nth(2)
            .context("it lies in a target folder")?;
        let at = target.join("mutants");
        let tree = at.join("tree");
        if tree.exists() {
            std::fs::remove_dir_all(&tree)?;
        }
        std::fs::create_dir_all(&tree)?;
        for part in PARTS {
            copy(&root.join(part), &tree.join(part))?;
        }
        // The workspace's other members are not needed, and not there.
        let manifest = std::fs::read_to_string(tree.join("Cargo.toml"))?;
        let manifest = manifest.replace(", \"benches\", \"tests\"", "");
        std::fs::write(tree.join("Cargo.toml"), manifest)?;
        let copy = Self {
            tree,
            target: at.join("target"),
        };
        // git looks no further than its own top: the copy lies in an ignored folder of another one's.
        copy.told(copy.command("git").args(["init", "--quiet"]))?;
        Ok(copy)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.tree).stdin(Stdio::null());
        // What a cargo that started this one has set is not meant for the copy.
        for name in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS"] {
            command.env_remove(name);
        }
        command
    }

    /// What a command prints; what it complains of if it fails.
    fn told(&self, command: &mut Command) -> anyhow::Result<String> {
        let output = command.output();
        let output = output.with_context(|| format!("cannot run {command:?}"))?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!(
                "{}",
                String::from_utf8_lossy(&output.stderr).trim().to_owned()
            );
        }
        Ok(out)
    }

    fn apply(&self, patch: &Path) -> anyhow::Result<()> {
        self.told(self.command("git").arg("apply").arg(patch))?;
        Ok(())
    }

    fn take_back(&self, patch: &Path) -> anyhow::Result<()> {
        self.told(self.command("git").args(["apply", "--reverse"]).arg(patch))?;
        Ok(())
    }

    /// The first seed that finds the bug, and what it says of it.
    fn hunt(&self, seeds: u64) -> anyhow::Result<Option<String>> {
        let mut build = self.command("cargo");
        build
            .args([
                "build",
                "--quiet",
                "--release",
                "--manifest-path",
                "sim/Cargo.toml",
            ])
            .args(["--config", "sim/.cargo/config.toml", "--target-dir"])
            .arg(&self.target);
        self.told(&mut build).context("the mutant does not build")?;
        let mut run = self.command(&self.target.join("release/canald-sim").display().to_string());
        run.args(["run", "--seeds", &seeds.to_string()]);
        let output = run.output().context("cannot run the mutant")?;
        if output.status.success() {
            return Ok(None);
        }
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = told.lines().find(|line| line.starts_with("seed "));
        let Some(failed) = failed else {
            let err = String::from_utf8_lossy(&output.stderr);
            bail!(
                "the mutant's run ended with {} and says {}",
                output.status,
                err.trim()
            );
        };
        Ok(Some(failed.to_owned()))
    }
}

/// Copies a file, or a folder without what was built in it.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            if entry.file_name() != "target" {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    let copied = std::fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
