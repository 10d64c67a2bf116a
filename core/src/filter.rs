//! filter
/// Interns what filters judge.
pub struct Subjects;
