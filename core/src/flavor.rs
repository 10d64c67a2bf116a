//! The two families of servers that canald reads.

/// Which family a server belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flavor {
    /// MySQL, Percona Server and what descends from them.
    #[default]
    Mysql,
    /// MariaDB.
    Mariadb,
}
