//! The tables of entries by number, and filters' verdicts on them.
//!
//! A number is 4 bytes in a slot; the names behind it are kept once. Numbers are handed out from 1; 0
//! is [`SubjectId::NONE`]. Tables come and go (every online schema change leaves names behind), so
//! the owner calls [`Subjects::collect`] when [`Subjects::is_crowded`], naming what is still in use.
//!
//! Bound: [`SUBJECTS_MAX`]. Beyond it new subjects get [`SubjectId::NONE`], which every filter
//! passes: a client may then see a table that it did not ask for, and never misses one that it did.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::table::TableJudge;
use crate::hash::FixedMap;
use crate::schema::ddl::JudgedTable;
use crate::schema::table::TableName;
use crate::store::segment::SubjectId;

/// Subjects that are kept at one time, at most.
pub const SUBJECTS_MAX: usize = 1 << 18;

/// Subjects from which the owner should collect those no longer in use.
pub const SUBJECTS_CROWDED: usize = SUBJECTS_MAX / 4 * 3;

/// What a filter judges: the tables of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Subject {
    tables: Box<[JudgedTable]>,
}

impl Subject {
    /// The subject of an entry about `tables`; one of them has to pass.
    #[must_use]
    pub fn new(tables: Vec<JudgedTable>) -> Self {
        Self {
            tables: tables.into(),
        }
    }

    /// Its tables; none for what is not judged.
    #[must_use]
    pub fn tables(&self) -> &[JudgedTable] {
        &self.tables
    }
}

#[derive(Debug)]
struct Place {
    /// How often the place was given to another subject: verdicts on the former one are void.
    tenant: u32,
    subject: Option<Arc<Subject>>,
}

/// All subjects of a destination.
#[derive(Debug, Default)]
pub struct Subjects {
    /// What [`SubjectId::NONE`] stands for.
    none: Subject,
    /// Subject `n` stands at `n - 1`.
    places: Vec<Place>,
    free: Vec<SubjectId>,
    ids: FixedMap<Arc<Subject>, SubjectId>,
}

impl Subjects {
    /// No subjects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a table's rows.
    pub fn intern_table(&mut self, name: &TableName) -> SubjectId {
        self.intern(Subject::new(
            [JudgedTable {
                table: name.clone(),
                origin: None,
            }]
            .into(),
        ))
    }

    /// The number of a statement about `tables`, as [`crate::schema::ddl::scan`] gives them.
    pub fn intern_statement(&mut self, tables: &[JudgedTable]) -> SubjectId {
        self.intern(Subject::new(tables.to_vec()))
    }

    /// What `id` stands for; nothing to judge for [`SubjectId::NONE`].
    ///
    /// # Panics
    /// If `id` is not in use.
    #[must_use]
    pub fn get(&self, id: SubjectId) -> &Subject {
        self.place(id).map_or(&self.none, |place| {
            place.subject.as_deref().expect("a subject in use is kept")
        })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether it is time to [collect](Self::collect).
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.len() >= SUBJECTS_CROWDED
    }

    /// Forgets every subject of which `in_use` says no; its number is given to another one later.
    pub fn collect(&mut self, mut in_use: impl FnMut(SubjectId) -> bool) {
        for (index, place) in self.places.iter_mut().enumerate() {
            let id = id_at(index);
            if place.subject.is_none() || in_use(id) {
                continue;
            }
            if let Some(subject) = place.subject.take() {
                self.ids.remove(&subject);
                self.free.push(id);
            }
        }
    }

    fn intern(&mut self, subject: Subject) -> SubjectId {
        if subject.tables.is_empty() {
            return SubjectId::NONE;
        }
        if let Some(id) = self.ids.get(&subject) {
            return *id;
        }
        if self.len() >= SUBJECTS_MAX {
            return SubjectId::NONE;
        }
        let subject = Arc::new(subject);
        let id = match self.free.pop() {
            Some(id) => {
                let place = &mut self.places[id.0 as usize - 1];
                place.tenant = place.tenant.wrapping_add(1);
                place.subject = Some(Arc::clone(&subject));
                id
            }
            None => {
                self.places.push(Place {
                    tenant: 0,
                    subject: Some(Arc::clone(&subject)),
                });
                id_at(self.places.len() - 1)
            }
        };
        self.ids.insert(subject, id);
        id
    }

    fn place(&self, id: SubjectId) -> Option<&Place> {
        let index = (id.0 as usize).checked_sub(1)?;
        Some(
            self.places
                .get(index)
                .expect("a subject's number comes from here"),
        )
    }
}

fn id_at(index: usize) -> SubjectId {
    SubjectId(u32::try_from(index + 1).expect("SUBJECTS_MAX fits"))
}

/// One filter's verdicts, each found once.
#[derive(Clone, Debug)]
pub struct Verdicts {
    judge: TableJudge,
    /// For subject `n` at `n - 1`: the tenant that was judged and whether it passes.
    known: Vec<Option<(u32, bool)>>,
}

impl Verdicts {
    /// Nothing judged yet.
    #[must_use]
    pub const fn new(judge: TableJudge) -> Self {
        Self {
            judge,
            known: Vec::new(),
        }
    }

    /// The lists behind it.
    #[must_use]
    pub const fn judge(&self) -> &TableJudge {
        &self.judge
    }

    /// Whether the entries of subject `id` pass.
    ///
    /// # Panics
    /// If `id` is not of `subjects`.
    pub fn passes(&mut self, subjects: &Subjects, id: SubjectId) -> bool {
        let Some(place) = subjects.place(id) else {
            return true;
        };
        let index = id.0 as usize - 1;
        if let Some(Some((tenant, passes))) = self.known.get(index)
            && *tenant == place.tenant
        {
            return *passes;
        }
        let passes = self.judge.passes(subjects.get(id));
        if self.known.len() <= index {
            self.known.resize(subjects.places.len(), None);
        }
        self.known[index] = Some((place.tenant, passes));
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::{ListKind, TableFilter};

    fn verdicts(white: &str) -> Verdicts {
        let white = TableFilter::compile(white, ListKind::White).unwrap();
        let black = TableFilter::compile("", ListKind::Black).unwrap();
        Verdicts::new(TableJudge::new([Arc::new(white)].into(), Arc::new(black)))
    }

    #[test]
    fn the_same_tables_have_the_same_number() {
        let mut subjects = Subjects::new();
        let (a, b) = (TableName::new("d", "a"), TableName::new("d", "b"));
        let id = subjects.intern_table(&a);
        assert_eq!(id, subjects.intern_table(&a));
        let alone = [JudgedTable {
            table: a.clone(),
            origin: None,
        }];
        assert_eq!(id, subjects.intern_statement(&alone));
        let renamed = [JudgedTable {
            table: a.clone(),
            origin: Some(b),
        }];
        assert_ne!(id, subjects.intern_statement(&renamed));
        assert_eq!(subjects.get(id).tables(), alone);
        assert_eq!(subjects.intern_statement(&[]), SubjectId::NONE);
        assert_eq!(subjects.len(), 2);
    }

    #[test]
    fn what_is_not_judged_always_passes() {
        let subjects = Subjects::new();
        assert!(verdicts("nothing").passes(&subjects, SubjectId::NONE));
        assert!(subjects.get(SubjectId::NONE).tables().is_empty());
    }

    #[test]
    fn a_number_given_to_another_table_is_judged_anew() {
        let mut subjects = Subjects::new();
        let mut verdicts = verdicts(r"d\.new");
        let kept = subjects.intern_table(&TableName::new("d", "kept"));
        let old = subjects.intern_table(&TableName::new("d", "old"));
        assert!(!verdicts.passes(&subjects, old) && !verdicts.passes(&subjects, old));
        subjects.collect(|id| id == kept);
        assert_eq!(subjects.len(), 1);
        let new = subjects.intern_table(&TableName::new("d", "new"));
        assert_eq!(new, old, "places are used again");
        assert!(verdicts.passes(&subjects, new));
        assert!(!verdicts.passes(&subjects, kept));
    }
}
