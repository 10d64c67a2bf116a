//! Where a value comes from: flags, then the environment, then the files, the later of which wins
//! (ha-meta-store reference §4.1).
//!
//! A blank value counts as absent; a blank in a destination's file still hides the server's value, as in
//! canal, where the two are merged before blanks are looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::Key;
use super::placeholder::{self, Endless};
use super::problem::Origin;
use super::properties::Property;
use super::values;

/// The environment variables of the process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment(pub BTreeMap<String, String>);

impl Environment {
    /// Those of this process; what is not UTF-8 is left out.
    #[must_use]
    pub fn of_process() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(utf8).collect())
    }

    /// The variable that gives `key` a value: of the same name, or in capitals with underscores if the
    /// key is one of ours.
    fn find(&self, key: &str) -> Option<(String, &str)> {
        let filled = |name: &str| self.0.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
        if let Some(value) = filled(key) {
            return Some((key.into(), value));
        }
        if !key.starts_with("canal") {
            return None;
        }
        let capitals = capitals(key);
        // A Kubernetes service called `canal` sets CANAL_PORT=tcp://… in every container beside it.
        filled(&capitals)
            .filter(|value| !value.contains("://"))
            .map(|value| (capitals, value))
    }
}

/// `canal.instance.gtidon` as `CANAL_INSTANCE_GTIDON`.
fn capitals(key: &str) -> String {
    let letter = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    key.chars().map(letter).collect()
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct PropertyFile {
    pub(super) path: String,
    pub(super) properties: Vec<Property>,
}

impl PropertyFile {
    pub(super) fn origin(&self, property: &Property) -> Origin {
        Origin::File {
            path: self.path.clone(),
            line: property.line,
        }
    }

    fn find(&self, key: &str) -> Option<&Property> {
        self.properties
            .iter()
            .rev()
            .find(|property| property.key == key)
    }
}

/// A value and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) value: String,
    pub(super) at: Origin,
}

/// Everything that may give a key its value, for the server or for one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layers<'a> {
    pub(super) flags: &'a BTreeMap<&'static str, String>,
    pub(super) environment: &'a Environment,
    pub(super) destination: Option<&'a str>,
    /// Lowest first.
    pub(super) files: [Option<&'a PropertyFile>; 2],
}

impl Layers<'_> {
    /// The value of `key`, with its placeholders replaced, unless it is blank.
    pub(super) fn find(&self, key: &str) -> Result<Option<Found>, (Origin, Endless)> {
        self.find_at(key, 0)
    }

    /// What a placeholder called `name` stands for.
    pub(super) fn lookup(&self, name: &str, depth: usize) -> Result<Option<String>, Endless> {
        match self.find_at(name, depth) {
            Ok(found) => Ok(found.map(|f| f.value)),
            Err((_, endless)) => Err(endless),
        }
    }

    fn find_at(&self, key: &str, depth: usize) -> Result<Option<Found>, (Origin, Endless)> {
        if let Some(value) = self.flags.get(key) {
            // What a flag says is meant literally: a password may hold `${`.
            return Ok(Some(Found {
                value: value.clone(),
                at: Origin::CommandLine,
            }));
        }
        if let ("canal.instance.destination", Some(name)) = (key, self.destination) {
            return Ok(Some(Found {
                value: name.into(),
                at: Origin::CommandLine,
            }));
        }
        let (text, at) = match self.environment.find(key) {
            Some((name, value)) => (value, Origin::Environment(name)),
            None => {
                let mut files = self.files.iter().rev().flatten();
                let Some((file, property)) = files.find_map(|f| Some((f, f.find(key)?))) else {
                    return Ok(None);
                };
                (property.value.as_str(), file.origin(property))
            }
        };
        match placeholder::expand(text, depth, &mut |name, depth| self.lookup(name, depth)) {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(Found {
                value: value.trim().into(),
                at,
            })),
            Err(endless) => Err((at, endless)),
        }
    }

    /// Every name that a placeholder in these files mentions.
    pub(super) fn referenced(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for property in self
            .files
            .iter()
            .flatten()
            .flat_map(|file| &file.properties)
        {
            // What never ends is reported where its value is read.
            let _ = placeholder::expand(&property.value, 0, &mut |name, depth| {
                names.insert(name.to_owned());
                self.lookup(name, depth)
            });
        }
        names
    }

    /// Where the first of these keys that is set at all is set.
    ///
    /// # Panics
    /// If none is: defaults are right, alone and together.
    pub(super) fn origin(&self, names: &[&str]) -> Origin {
        let place = |name: &&str| match self.find(name) {
            Ok(found) => found.map(|f| f.at),
            Err((at, _)) => Some(at),
        };
        names
            .iter()
            .find_map(place)
            .expect("only what somebody set can be wrong")
    }

    /// The value of `key`, else its default; empty if there is neither. A value that is not of the
    /// key's kind has been reported, and reads as the default.
    pub(super) fn text(&self, key: &Key) -> String {
        match self.find(key.name) {
            Ok(Some(found)) if key.kind.check(&found.value).is_ok() => found.value,
            Ok(_) | Err(_) => key.default.into(),
        }
    }

    /// As [`Self::text`], for a switch.
    pub(super) fn switch(&self, key: &Key) -> bool {
        values::switch(&self.text(key)).unwrap_or(false)
    }

    /// As [`Self::text`], for a number; 0 if there is neither value nor default.
    pub(super) fn count(&self, key: &Key) -> u64 {
        self.text(key).parse().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{keys, properties};
    use super::*;

    fn file(path: &str, text: &str) -> PropertyFile {
        PropertyFile {
            path: path.into(),
            properties: properties::scan(text).0,
        }
    }

    fn value(layers: &Layers<'_>, key: &str) -> Option<String> {
        layers.find(key).unwrap().map(|f| f.value)
    }

    #[test]
    fn flags_then_environment_then_the_later_file() {
        let flags = BTreeMap::from([("canal.ip", "${not.expanded}".to_owned())]);
        let env = |pairs: &[(&str, &str)]| {
            Environment(
                pairs
                    .iter()
                    .map(|(k, v)| ((*k).into(), (*v).into()))
                    .collect(),
            )
        };
        let environment = env(&[
            ("canal.ip", "1.1.1.1"),
            ("canal.port", "2"),
            ("CANAL_USER", "capital"),
            ("CANAL_INSTANCE_MYSQL_SLAVEID", "7"),
            ("canal.passwd", "  "),
            ("PATH", "/bin"),
        ]);
        let server = file(
            "s",
            "canal.port=1\ncanal.passwd=file\na=server\nb=server\nb=last",
        );
        let instance = file("i", "a=\nc=${b} ${canal.instance.destination} ${path}");
        let layers = Layers {
            flags: &flags,
            environment: &environment,
            destination: Some("example"),
            files: [Some(&server), Some(&instance)],
        };
        for (key, want) in [
            ("canal.ip", Some("${not.expanded}")),
            ("canal.port", Some("2")),
            ("canal.user", Some("capital")),
            ("canal.instance.mysql.slaveId", Some("7")),
            ("canal.passwd", Some("file")),
            ("a", None),
            ("b", Some("last")),
            ("c", Some("last example")),
            ("d", None),
        ] {
            assert_eq!(value(&layers, key).as_deref(), want, "{key}");
        }
        let found = layers.find("b").unwrap().unwrap();
        assert_eq!(
            found.at,
            Origin::File {
                path: "s".into(),
                line: 5
            }
        );
        assert_eq!(layers.text(keys::named("canal.conf.dir")), "../conf");
    }

    #[test]
    fn a_kubernetes_service_is_not_a_port() {
        let environment = Environment(BTreeMap::from([(
            "CANAL_PORT".into(),
            "tcp://10.0.0.1:11111".into(),
        )]));
        let flags = BTreeMap::new();
        let layers = Layers {
            flags: &flags,
            environment: &environment,
            destination: None,
            files: [None; 2],
        };
        assert_eq!(value(&layers, "canal.port"), None);
    }

    #[test]
    fn circles_end() {
        let server = file("s", "a=${b}\nb=x${a}\nc=${c:1}");
        let (flags, environment) = (BTreeMap::new(), Environment::default());
        let files = [Some(&server), None];
        let layers = Layers {
            flags: &flags,
            environment: &environment,
            destination: None,
            files,
        };
        for key in ["a", "b", "c"] {
            let (at, _) = layers.find(key).unwrap_err();
            assert!(matches!(at, Origin::File { .. }));
        }
    }
}
