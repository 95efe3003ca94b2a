//! Tables of rows of 300 bytes on two sides, which differ here and there, and the product's commands on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Size;
use super::measure::{Cost, cost_of, failback};

/// The target for memory, in mebibytes.
pub const PEAK_MIB_MAX: f64 = 128.0;

/// How many rows there are, and how many of them differ on dr; a prime apart each, so that they are scattered.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    pub rows: u64,
    pub changed: u64,
    pub missing: u64,
    pub extra: u64,
}

impl Rows {
    pub fn of(size: Size) -> Rows {
        let full = Rows { rows: 1_000_000, changed: 1_000, missing: 200, extra: 5_500 };
        size.pick(full, Rows { rows: 2_000, changed: 40, missing: 10, extra: 20 })
    }

    pub fn differing(&self) -> u64 {
        self.changed + self.missing + self.extra
    }

    /// Statements that make dr differ; keys are even, so that what is extra lies between them.
    pub fn strike(&self) -> String {
        let step = |of: u64| self.rows / of;
        let (changed, missing, extra) = (step(self.changed), step(self.missing), step(self.extra));
        format!(
            "UPDATE t SET d = 'changed' WHERE id / 2 % {changed} = {} AND id / 2 <= {};\n\
             INSERT INTO t SELECT id + 1, a, b, c, d, e FROM t WHERE id / 2 % {extra} = {} AND id / 2 <= {};\n\
             DELETE FROM t WHERE id % 2 = 0 AND id / 2 % {missing} = {} AND id / 2 <= {};\n",
            changed - 1,
            changed * self.changed,
            extra - 1,
            extra * self.extra,
            // Never one that was changed.
            missing - 2,
            missing * self.missing
        )
    }
}

/// The two databases of a store.
pub struct Stage {
    pub kind: &'static str,
    /// The URLs of the primary and of dr.
    pub urls: [String; 2],
    pub folder: PathBuf,
}

impl Stage {
    pub fn profile(&self, more: &str) -> String {
        let tables = if self.kind == "postgres" { "public.*" } else { "*" };
        format!(
            "name = \"bench\"\n[primary]\nregion = \"us-east-1\"\n[dr]\nregion = \"us-west-2\"\n[[store]]\nname = \"rows\"\n\
             kind = \"{}\"\nprimary = {{ url = \"{}\" }}\ndr = {{ url = \"{}\" }}\ntables = [\"{tables}\"]\n{more}",
            self.kind, self.urls[0], self.urls[1]
        )
    }

    /// The product's whole `diff`, which must find so many differences.
    pub fn diff(&self, digest: &str, rows: u64, differing: u64) -> Cost {
        let session = tempfile::tempdir_in(&self.folder).expect("a folder");
        let path = session.path().join("profile.toml");
        std::fs::write(&path, self.profile(&format!("digest = \"{digest}\"\n"))).expect("written");
        let mut command = failback();
        command.arg("diff").arg(&path).arg("--json").arg("--session").arg(session.path().join("session"));
        let cost = cost_of(command.current_dir(session.path()));
        let wanted = i32::from(differing > 0);
        assert_eq!(cost.status.code(), Some(wanted), "{}", cost.said);
        let store = &cost.json()["stores"][0];
        assert_eq!(store["primary"]["items"], rows, "every row is read");
        assert_eq!(store["verdicts"]["unattributed"], differing, "every difference is found");
        cost
    }
}

/// Runs a client of a database with statements on its standard input, or of a file.
pub fn fed(command: &mut Command, statements: &Path) -> Cost {
    let input = std::fs::File::open(statements).expect("the statements");
    let cost = super::measure::cost_of_fed(command.stderr(Stdio::inherit()), input.into());
    assert!(cost.status.success(), "{command:?}");
    cost
}

/// The same with statements as text.
pub fn run(command: &mut Command, statements: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("statements.sql");
    std::fs::write(&path, statements).expect("written");
    fed(command, &path);
}
