//! The profile: which stores, which policies, how writes are fenced and how customers return.
//!
//! A profile is TOML. Reading it finds everything that is wrong at once and points at line and column; what is read is
//! valid by itself. Whether its resources exist and fit is for the preflight to find out. `docs/profile.md` names every
//! field.

mod error;
mod exports;
mod mapping;
mod read;
mod same;
mod schema;
mod store;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use error::{Complaint, ProfileError};
pub use mapping::MappingProfile;
pub use schema::schema;

use crate::model::{Percent, Timestamp};

/// A whole profile.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Its name; also the default session folder's.
    pub name: String,
    /// T0: the last instant the primary accepted authoritative writes; absent until there is a disaster.
    pub disaster_at: Option<Timestamp>,
    /// Tb: what dr's data represented at failover; defaults to `disaster_at`.
    pub dr_as_of: Option<Timestamp>,
    /// How the primary Region is reached.
    pub primary: SideProfile,
    /// How the dr Region is reached.
    pub dr: SideProfile,
    /// The stores, in the order they are handled.
    pub stores: Vec<StoreProfile>,
    /// How writes to dr are stopped, and how that is proved.
    pub freeze: Option<FreezeProfile>,
    /// How customers are returned.
    pub cutover: Option<CutoverProfile>,
    /// Bounds on what this machine spends.
    pub machine: MachineProfile,
    /// Where exports that save bases are written.
    pub rescue: RescueProfile,
    /// The key that signs certificates; defaults to one made for the session.
    pub signing_key: Option<PathBuf>,
}

impl Profile {
    /// Reads a profile from a file; `env` gives the environment variables that secrets may name.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Unreadable`] when there is no such file or it is not UTF-8 text, else as [`Profile::parse`].
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Profile, ProfileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ProfileError::Unreadable { path: path.to_owned(), source })?;
        Profile::parse(&text, &path.display().to_string(), env)
    }

    /// Reads a profile from text; `file` is the name that errors show.
    ///
    /// # Errors
    ///
    /// [`ProfileError::Invalid`] with everything that is wrong and where.
    pub fn parse(text: &str, file: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Profile, ProfileError> {
        read::profile(text, env).map_err(|complaints| ProfileError::Invalid { file: file.to_owned(), complaints })
    }
}

/// How one side is reached. Each side has credentials and endpoints of its own.
#[derive(Debug, Clone)]
pub struct SideProfile {
    /// The AWS Region.
    pub region: String,
    /// A named profile of the AWS configuration files.
    pub aws_profile: Option<String>,
    /// A role to assume.
    pub role_arn: Option<String>,
    /// The account this side must turn out to be.
    pub account: Option<String>,
    /// An endpoint for every service of this side, for test servers.
    pub endpoint_url: Option<String>,
    /// Endpoints by service: `dynamodb`, `s3`, `rds`, `ec2`, `route53`, `sts` and others.
    pub endpoints: BTreeMap<String, String>,
    /// Credentials given in the profile, for test servers and isolated accounts.
    pub credentials: Option<CredentialsProfile>,
}

/// Static credentials; each field may be `${NAME}`, an environment variable.
#[derive(Clone)]
pub struct CredentialsProfile {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
}

impl std::fmt::Debug for CredentialsProfile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CredentialsProfile(..)")
    }
}

/// A secret; never shown.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// One store: what it is on both sides, and how its differences are decided.
#[derive(Debug, Clone)]
pub struct StoreProfile {
    /// Its name, unique in the profile.
    pub name: String,
    /// The resources on both sides, by kind.
    pub resources: Resources,
    /// Where the base comes from.
    pub base: BaseProfile,
    /// How differences are decided.
    pub policy: PolicyProfile,
    /// Rates that must not be passed.
    pub limits: LimitsProfile,
    /// What logs of changes tell, where there are any.
    pub changes: ChangesProfile,
}

impl StoreProfile {
    /// Whether the base or the changes name an export.
    pub fn names_export(&self, url: &str) -> bool {
        let base = match &self.base {
            BaseProfile::Exports(urls) => urls.as_slice(),
            _ => &[],
        };
        let ChangesProfile { primary, dr, read: _ } = &self.changes;
        base.iter().chain(primary).chain(dr).any(|named| named.trim_end_matches('/') == url.trim_end_matches('/'))
    }
}

/// Both sides of one store.
#[derive(Debug, Clone)]
pub enum Resources {
    /// `kind = "memory"`: the reference store; a name in this process, for drills and tests.
    Memory {
        /// The primary's name.
        primary: String,
        /// dr's name.
        dr: String,
    },
    /// `kind = "dynamodb"`.
    DynamoDb {
        /// The primary table.
        primary: TableProfile,
        /// The dr table.
        dr: TableProfile,
        /// An attribute that every write changes: then it alone guards a write.
        version_attribute: Option<String>,
        /// An attribute that orders writes, for `conflict = "newest"`.
        newest_attribute: Option<String>,
    },
    /// `kind = "s3"`.
    S3 {
        /// The primary bucket.
        primary: BucketProfile,
        /// The dr bucket.
        dr: BucketProfile,
        /// What is compared of objects.
        compare: CompareProfile,
    },
    /// `kind = "postgres"`.
    Postgres(RowsProfile),
    /// `kind = "mysql"`.
    Mysql(RowsProfile),
}

/// Rows of a database's tables on both sides.
#[derive(Debug, Clone)]
pub struct RowsProfile {
    /// The primary database.
    pub primary: DatabaseProfile,
    /// The dr database.
    pub dr: DatabaseProfile,
    /// Tables as `schema.table` for PostgreSQL and by name for MySQL, with `*` and `?` wildcards.
    pub tables: Vec<String>,
    /// A column that orders writes, for `conflict = "newest"`.
    pub newest_column: Option<String>,
    /// Where rows are hashed.
    pub digest: DigestProfile,
    /// How tables of dr whose models moved on are read.
    pub mapping: Vec<MappingProfile>,
}

/// A DynamoDB table.
#[derive(Debug, Clone)]
pub struct TableProfile {
    /// Its name.
    pub table: String,
}

/// An S3 bucket, or the part of it under a prefix; keys are compared without the prefix.
#[derive(Debug, Clone)]
pub struct BucketProfile {
    /// Its name.
    pub bucket: String,
    /// Only keys that begin so.
    pub prefix: String,
    /// The `manifest.json` of an S3 Inventory report on it, for forecasts.
    pub inventory: Option<String>,
    /// The KMS key that objects are written with which dr had encrypted by KMS; the primary only.
    pub kms_key: Option<String>,
    /// Objects of at least this many MiB are copied by S3 itself where it can; the primary only.
    pub copy_from_mib: u64,
    /// What becomes of Object Lock; the primary only.
    pub object_lock: ObjectLockProfile,
}

impl BucketProfile {
    /// A bucket with all else by default.
    pub fn new(bucket: impl Into<String>, prefix: impl Into<String>) -> BucketProfile {
        BucketProfile {
            bucket: bucket.into(),
            prefix: prefix.into(),
            inventory: None,
            kms_key: None,
            copy_from_mib: COPY_FROM_MIB,
            object_lock: ObjectLockProfile::Carry,
        }
    }
}

/// What S3 copies in one request, in MiB.
pub const COPY_FROM_MIB: u64 = 5 * 1024;

/// What is compared of objects that look the same in the listings of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareProfile {
    /// Headers, metadata, tags and bodies: every object is asked about by itself.
    Everything,
    /// Bodies: a size and an ETag that are the same prove them; nothing else is asked.
    Bodies,
}

/// Where rows of a database are hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DigestProfile {
    /// Here: whole rows cross the wire.
    #[default]
    Stream,
    /// By the database: a key and a hash of each row cross the wire.
    Server,
}

/// What becomes of retentions and legal holds of objects that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLockProfile {
    /// They are carried along; an object is not written where that is not possible.
    Carry,
    /// Objects are written without.
    Drop,
}

/// A database, by URL or as RDS knows it.
#[derive(Debug, Clone, Default)]
pub struct DatabaseProfile {
    /// `postgres://user@host:port/database` or `mysql://user@host:port/database`, without a password.
    pub url: Option<String>,
    /// An RDS instance identifier; its endpoint is asked of RDS.
    pub instance: Option<String>,
    /// An RDS cluster identifier; its writer endpoint is asked of RDS.
    pub cluster: Option<String>,
    /// An Aurora global cluster's identifier; the side is its member in the side's Region.
    pub global_cluster: Option<String>,
    /// The database, with all but `url`.
    pub database: Option<String>,
    /// The user, with all but `url`.
    pub user: Option<String>,
    /// The password; may be `${NAME}`, an environment variable.
    pub password: Option<Secret>,
    /// Whether TLS is required: `disable`, `require` (default beyond loopback).
    pub tls: Option<TlsMode>,
    /// A logical replication slot of PostgreSQL that tells which rows were changed.
    pub slot: Option<String>,
    /// The publication that the slot is read for; by default the one called as the slot.
    pub publication: Option<String>,
    /// Whether the binary log of MySQL or MariaDB tells which rows were changed.
    pub binlog: bool,
    /// A PEM bundle of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// What the user proves who they are by.
    pub auth: AuthMode,
}

/// What a user of a database proves who they are by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthMode {
    /// A password, or whatever the server asks for instead.
    #[default]
    Password,
    /// An IAM authentication token, made anew for every connection.
    Iam,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// Plain text; for loopback and tunnels.
    Disable,
    /// Encrypted and verified against the system's certificates, or those of `ca_file`.
    Require,
}

/// Where the base comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BaseProfile {
    /// No base: differences stay unattributed.
    #[default]
    None,
    /// A checkpoint by name, or a path.
    Checkpoint(String),
    /// A table restored aside, in the primary's Region.
    Table(String),
    /// A database restored aside, on the primary's server, by name or URL.
    Database(String),
    /// The version history of a bucket.
    Versions,
    /// Exports of a table to S3: a FULL one, and INCREMENTAL ones that follow it.
    Exports(Vec<String>),
}

/// What changed on each side of a table, as INCREMENTAL exports of it tell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangesProfile {
    /// Exports of the primary, from Tb to beyond T0.
    pub primary: Vec<String>,
    /// Exports of dr, from Tb on.
    pub dr: Vec<String>,
    /// What a diff and a plan read.
    pub read: ReadScope,
}

/// What a diff and a plan read; a verification, a checkpoint and the pass under the freeze read everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadScope {
    /// Both sides in full.
    #[default]
    All,
    /// Only the keys that the exports of both sides say were changed.
    Changed,
}

/// Where exports that save bases are written, as `s3://bucket/prefix`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RescueProfile {
    /// For exports of primary tables.
    pub primary: Option<String>,
    /// For exports of dr tables.
    pub dr: Option<String>,
    /// A KMS key that they are encrypted with.
    pub kms_key: Option<String>,
}

/// How differences are decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyProfile {
    /// Both sides changed, to different contents.
    pub conflict: ConflictPolicy,
    /// Only the primary changed.
    pub stranded: StrandedPolicy,
    /// They differ and no base tells who changed.
    pub unattributed: UnattributedPolicy,
    /// When the primary's items may be deleted.
    pub deletes: DeletePolicy,
    /// A plan that deletes more than this share of the primary's items is held.
    pub delete_limit_percent: Percent,
    /// A plan that overwrites more than this share of the primary's items is held.
    pub overwrite_limit_percent: Percent,
    /// How much older than Tb a base may be before what rests on it is held.
    pub base_age_tolerance_seconds: u64,
}

impl Default for PolicyProfile {
    fn default() -> Self {
        PolicyProfile {
            conflict: ConflictPolicy::Hold,
            stranded: StrandedPolicy::Keep,
            unattributed: UnattributedPolicy::Hold,
            deletes: DeletePolicy::BaseProved,
            delete_limit_percent: Percent::new(20).expect("20 is at most 100"),
            overwrite_limit_percent: Percent::new(50).expect("50 is at most 100"),
            base_age_tolerance_seconds: 300,
        }
    }
}

/// What to do with a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// A person decides.
    Hold,
    /// dr's contents win.
    DrWins,
    /// The primary's contents win; an accepted difference.
    PrimaryWins,
    /// The newer by the declared attribute or column wins.
    Newest,
}

/// What to do with a write that only the primary has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrandedPolicy {
    /// It stays; an accepted difference.
    Keep,
    /// A person decides.
    Hold,
    /// dr's older contents replace it.
    Overwrite,
}

/// What to do where no base tells who changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnattributedPolicy {
    /// A person decides.
    Hold,
    /// dr's contents win; nothing is deleted.
    DrWins,
    /// The primary becomes what dr is, deletes included.
    Mirror,
}

/// When the primary's items may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletePolicy {
    /// Only when the base proves that dr deleted it.
    BaseProved,
    /// Also without a base, where `unattributed = "mirror"`.
    Mirror,
    /// Never; such items are held.
    Never,
}

/// Rates that must not be passed; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsProfile {
    /// Items read per second and side.
    pub reads_per_second: u32,
    /// Items written per second.
    pub writes_per_second: u32,
}

impl Default for LimitsProfile {
    fn default() -> Self {
        LimitsProfile { reads_per_second: 0, writes_per_second: 200 }
    }
}

/// How writes to dr are stopped.
#[derive(Debug, Clone)]
pub struct FreezeProfile {
    /// Stops the writers; run once, must exit 0.
    pub command: Vec<String>,
    /// A write to dr as the application would do it: exit code 1 proves the fence, 0 that there is none; any other end
    /// tells neither and is never taken as proof.
    pub negative_write_test: Option<Vec<String>>,
    /// How long dr must be read unchanged, in seconds, where there is no negative write test.
    pub quiet_seconds: u64,
    /// How long each command may run, in seconds.
    pub timeout_seconds: u64,
}

/// How customers are returned.
#[derive(Debug, Clone)]
pub struct CutoverProfile {
    /// The hosted zone's id.
    pub hosted_zone: String,
    /// The weighted record pair.
    pub record: RecordProfile,
    /// The primary's share at each stage, ascending, ending in 100.
    pub stages: Vec<Percent>,
    /// How long each stage is watched, in seconds.
    pub hold_seconds: u64,
    /// How health is judged between stages.
    pub health: Option<HealthProfile>,
    /// How old a certificate may be, in seconds.
    pub certificate_age_seconds_max: u64,
    /// How long a change may take to reach all DNS servers, in seconds.
    pub insync_timeout_seconds: u64,
}

/// A weighted record pair.
#[derive(Debug, Clone)]
pub struct RecordProfile {
    /// Its name.
    pub name: String,
    /// Its type, for example `A` or `CNAME`.
    pub record_type: String,
    /// The primary record's SetIdentifier.
    pub primary: String,
    /// The dr record's SetIdentifier.
    pub dr: String,
}

/// How health is judged: exactly one way.
#[derive(Debug, Clone)]
pub struct HealthProfile {
    /// Healthy when a GET answers with a 2xx status.
    pub url: Option<String>,
    /// Healthy when the Route 53 health check's checkers report success.
    pub health_check: Option<String>,
    /// Healthy when the command exits 0.
    pub command: Option<Vec<String>>,
    /// How long one probe may take, in seconds.
    pub timeout_seconds: u64,
    /// Pause between probes, in seconds.
    pub interval_seconds: u64,
    /// This many failures in a row are unhealthy.
    pub failures: u32,
}

/// Bounds on what this machine spends.
#[derive(Debug, Clone)]
pub struct MachineProfile {
    /// Memory for the leaves of one comparison, in MiB; beyond it they spill to disk.
    pub memory_mib: u64,
    /// Partitions read at the same time per side of a store.
    pub parallel: usize,
    /// Where to spill; defaults to the session folder.
    pub spill: Option<PathBuf>,
}

impl Default for MachineProfile {
    fn default() -> Self {
        MachineProfile { memory_mib: 64, parallel: 4, spill: None }
    }
}
