//! The `[[store]]` table: which fields a kind of store has.

use std::ops::Range;

use super::exports;
use super::mapping::{self, TableNames};
use super::read::{check_name, narrow};
use super::schema::Rule;
use super::table::Table;
use super::{
    AuthMode, BaseProfile, BucketProfile, ChangesProfile, CompareProfile, ConflictPolicy, DatabaseProfile,
    DeletePolicy, DigestProfile, LimitsProfile, ObjectLockProfile, PolicyProfile, Resources, RowsProfile, StoreProfile,
    StrandedPolicy, TableProfile, TlsMode, UnattributedPolicy,
};

/// A store and where its parts stand.
pub(super) type Placed = (StoreProfile, Places);

/// Where the parts of a store stand, and what it is called in complaints.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) path: String,
    pub(super) name: Range<usize>,
    pub(super) primary: Range<usize>,
    pub(super) dr: Range<usize>,
    pub(super) base: Range<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Memory,
    DynamoDb,
    S3,
    Postgres,
    Mysql,
}

const KINDS: [(&str, Kind); 5] = [
    ("dynamodb", Kind::DynamoDb),
    ("s3", Kind::S3),
    ("postgres", Kind::Postgres),
    ("mysql", Kind::Mysql),
    ("memory", Kind::Memory),
];

impl Kind {
    /// How the URL of a database of this kind begins, and an example of one.
    fn database_urls(self) -> (&'static [&'static str], &'static str) {
        match self {
            Kind::Mysql => (&["mysql://"], "write mysql://user@host:3306/database"),
            _ => (&["postgres://", "postgresql://"], "write postgres://user@host:5432/database"),
        }
    }
}

/// What a database has that RDS is asked for, and that a URL says by itself.
const RDS_FIELDS: [&str; 2] = ["database", "user"];

/// The largest rate a limit may state, per second.
const RATE_MAX: u64 = 10_000_000;

/// Reads one store; `None` only where complaints say why.
pub(super) fn read(mut table: Table<'_>) -> Option<Placed> {
    if let Some(name) = table.raw_text("name").filter(|name| !name.is_empty()) {
        table.path = format!("store.{name}");
    }
    let name = table.need_text("name");
    check_name(&table, &name);
    table.require("kind", Some("one of: dynamodb, s3, postgres, mysql, memory"));
    // Which fields belong here depends on the kind: without it there is nothing more to say.
    let kind = table.word("kind", &KINDS)?;
    let resources = resources(&table, kind);
    let base = base(&table, kind);
    let policy = table.table("policy").map(policy).unwrap_or_default();
    if let Some(resources) = &resources {
        check_newest(&table, policy, resources);
    }
    let limits = table.table("limits").map(limits).unwrap_or_default();
    let changes = match kind {
        Kind::DynamoDb => table.table("changes").map(exports::changes).unwrap_or_default(),
        Kind::Memory | Kind::S3 | Kind::Postgres | Kind::Mysql => ChangesProfile::default(),
    };
    let places = Places {
        path: table.path.clone(),
        name: table.span_of("name"),
        primary: table.span_of("primary"),
        dr: table.span_of("dr"),
        base: table.span_of("base"),
    };
    table.finish();
    Some((StoreProfile { name, resources: resources?, base, policy, limits, changes }, places))
}

fn resources(table: &Table<'_>, kind: Kind) -> Option<Resources> {
    let (primary, dr) = (table.need_table("primary"), table.need_table("dr"));
    Some(match kind {
        Kind::Memory => {
            let (primary, dr) = (primary.map(memory), dr.map(memory));
            Resources::Memory { primary: primary?, dr: dr? }
        }
        Kind::DynamoDb => {
            let version_attribute = table.text("version_attribute");
            let newest_attribute = table.text("newest_attribute");
            let (primary, dr) = (primary.map(dynamodb_table), dr.map(dynamodb_table));
            Resources::DynamoDb { primary: primary?, dr: dr?, version_attribute, newest_attribute }
        }
        Kind::S3 => {
            let words = [("everything", CompareProfile::Everything), ("bodies", CompareProfile::Bodies)];
            let compare = table.word("compare", &words).unwrap_or(CompareProfile::Everything);
            let (primary, dr) = (primary.map(written_bucket), dr.map(read_bucket));
            Resources::S3 { primary: primary?, dr: dr?, compare }
        }
        Kind::Postgres => {
            Resources::Postgres(rows(table, kind, (primary, dr), (Globs::OfSchemas, TableNames::WithSchema))?)
        }
        Kind::Mysql => Resources::Mysql(rows(table, kind, (primary, dr), (Globs::OfNames, TableNames::Plain))?),
    })
}

/// `names` is how tables are named: in `tables`, and in mappings.
fn rows<'a>(
    table: &Table<'a>,
    kind: Kind,
    (primary, dr): (Option<Table<'a>>, Option<Table<'a>>),
    names: (Globs, TableNames),
) -> Option<RowsProfile> {
    let tables = table_globs(table, names.0);
    let newest_column = table.text("newest_column");
    let digest = digest(table);
    let mapping = mapping::read(table, names.1, newest_column.as_deref());
    let (primary, dr) = (primary.map(|side| database(side, kind)), dr.map(|side| database(side, kind)));
    Some(RowsProfile { primary: primary?, dr: dr?, tables, newest_column, digest, mapping })
}

fn digest(table: &Table<'_>) -> DigestProfile {
    let words = [("stream", DigestProfile::Stream), ("server", DigestProfile::Server)];
    table.word("digest", &words).unwrap_or_default()
}

fn memory(table: Table<'_>) -> String {
    let name = table.need_text("name");
    table.finish();
    name
}

fn dynamodb_table(fields: Table<'_>) -> TableProfile {
    let table = fields.need_text("table");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !table.is_empty() && (!table.chars().all(fits) || !(3..=255).contains(&table.len())) {
        let hint = "3 to 255 letters, digits, `-`, `_` and `.`; the name, not the ARN";
        fields.complain("table", "not a DynamoDB table's name", Some(hint));
    }
    fields.finish();
    TableProfile { table }
}

/// The largest threshold that a size may state, in MiB: the largest object there is.
const COPY_FROM_MIB_MAX: u64 = 50 << 20;

fn written_bucket(table: Table<'_>) -> BucketProfile {
    let named = bucket(&table);
    let kms_key = table.text("kms_key");
    let copy_from_mib = table.number("copy_from_mib", 5..=COPY_FROM_MIB_MAX).unwrap_or(named.copy_from_mib);
    let words = [("carry", ObjectLockProfile::Carry), ("drop", ObjectLockProfile::Drop)];
    let object_lock = table.word("object_lock", &words).unwrap_or(named.object_lock);
    table.finish();
    BucketProfile { kms_key, copy_from_mib, object_lock, ..named }
}

fn read_bucket(table: Table<'_>) -> BucketProfile {
    let named = bucket(&table);
    table.finish();
    named
}

fn bucket(table: &Table<'_>) -> BucketProfile {
    let bucket = table.need_text("bucket");
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !bucket.is_empty() && (!bucket.chars().all(fits) || !(3..=255).contains(&bucket.len())) {
        let hint = "the name only, without s3:// and without a path; a path goes into `prefix`";
        table.complain("bucket", "not a bucket's name", Some(hint));
    }
    let prefix = table.text_or_empty("prefix").unwrap_or_default();
    let inventory = table.text("inventory");
    let is_manifest = |url: &String| url.starts_with("s3://") && url.ends_with("/manifest.json");
    if inventory.as_ref().is_some_and(|url| !is_manifest(url)) {
        let hint = "write s3://bucket/prefix/source/configuration/2026-11-25T01-00Z/manifest.json";
        table.complain("inventory", "not the manifest of an S3 Inventory report", Some(hint));
    }
    BucketProfile { inventory, ..BucketProfile::new(bucket, prefix) }
}

fn database(table: Table<'_>, kind: Kind) -> DatabaseProfile {
    let ways = table.require_one(&["url", "instance", "cluster", "global_cluster"]);
    let by_url = table.has("url");
    if let Some(url) = table.raw_text("url") {
        check_database_url(&table, "url", url, kind);
    }
    table.rule(Rule::Apart("url", &RDS_FIELDS));
    for way in ["instance", "cluster", "global_cluster"] {
        table.rule(Rule::Needs(way, &RDS_FIELDS));
    }
    for name in RDS_FIELDS {
        match (by_url, table.has(name)) {
            (true, true) => {
                let what = format!("`{name}` only goes with `instance`, `cluster` or `global_cluster`");
                table.complain(name, what, Some("it is part of `url`"));
            }
            (false, false) if ways == 1 => table.missing(name, None),
            _ => {}
        }
    }
    let slot = (kind == Kind::Postgres).then(|| table.text("slot")).flatten();
    let publication = (kind == Kind::Postgres).then(|| table.text("publication")).flatten();
    let binlog = (kind == Kind::Mysql).then(|| table.truth("binlog")).flatten().unwrap_or_default();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if slot.as_ref().is_some_and(|slot| slot.is_empty() || slot.len() > 63 || !slot.chars().all(fits)) {
        let hint = "1 to 63 lowercase letters, digits and `_`, as PostgreSQL has it";
        table.complain("slot", "not the name of a replication slot", Some(hint));
    }
    if let (None, Some(_)) = (&slot, &publication) {
        table.complain("publication", "`publication` only goes with `slot`", Some("name the replication slot too"));
    }
    let database = DatabaseProfile {
        slot,
        publication,
        binlog,
        url: table.text("url"),
        instance: table.text("instance"),
        cluster: table.text("cluster"),
        global_cluster: table.text("global_cluster"),
        database: table.text("database"),
        user: table.text("user"),
        password: table.secret("password"),
        tls: table.word("tls", &[("disable", TlsMode::Disable), ("require", TlsMode::Require)]),
        ca_file: table.text("ca_file").map(Into::into),
        auth: table.word("auth", &[("password", AuthMode::Password), ("iam", AuthMode::Iam)]).unwrap_or_default(),
    };
    check_login(&table, &database);
    table.finish();
    database
}

/// Complains about what goes only with TLS, and about two ways to log in.
fn check_login(table: &Table<'_>, database: &DatabaseProfile) {
    let is_iam = database.auth == AuthMode::Iam;
    if is_iam && database.password.is_some() {
        let hint = "remove `password`: a token is made for every connection";
        table.complain("password", "a password does not go with `auth = \"iam\"`", Some(hint));
    }
    if database.tls != Some(TlsMode::Disable) {
        return;
    }
    if is_iam {
        let hint = "remove it: a token is a password, and only goes over TLS";
        table.complain("tls", "`tls = \"disable\"` does not go with `auth = \"iam\"`", Some(hint));
    }
    if database.ca_file.is_some() {
        table.complain("ca_file", "`ca_file` does not go with `tls = \"disable\"`", Some("remove one of them"));
    }
}

/// Complains about a URL that is not `postgres://user@host[:port]/database`, or `mysql://` for that kind.
fn check_database_url(table: &Table<'_>, field: &str, url: &str, kind: Kind) {
    let (begins, hint) = kind.database_urls();
    let Some(rest) = begins.iter().find_map(|begin| url.strip_prefix(begin)) else {
        return table.complain(field, format!("not a {} URL", begins[0]), Some(hint));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((user, host)) = authority.rsplit_once('@').filter(|(user, _)| !user.is_empty()) else {
        return table.complain(field, "the URL names no user", Some(hint));
    };
    if user.contains(':') {
        let hint = "put it into `password` as \"${NAME}\"";
        return table.complain(field, "a password does not belong into the URL", Some(hint));
    }
    let (name, options) = path.split_once('?').unwrap_or((path, ""));
    if options.split('&').any(|option| option.starts_with("password=")) {
        let hint = "put it into `password` as \"${NAME}\"";
        return table.complain(field, "a password does not belong into the URL", Some(hint));
    }
    if host.is_empty() || host.starts_with(':') {
        table.complain(field, "the URL names no host", Some(hint));
    } else if name.is_empty() {
        table.complain(field, "the URL names no database", Some(hint));
    }
}

/// What patterns of tables are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Globs {
    /// `schema.table`.
    OfSchemas,
    /// Names of tables in the one database that the URL names.
    OfNames,
}

fn table_globs(table: &Table<'_>, globs_are: Globs) -> Vec<String> {
    table.require(
        "tables",
        Some(match globs_are {
            Globs::OfSchemas => "which tables, such as [\"public.*\"]",
            Globs::OfNames => "which tables of the database, such as [\"*\"]",
        }),
    );
    let globs = table.texts("tables").unwrap_or_default();
    for (index, (glob, span)) in globs.iter().enumerate() {
        let parts: Vec<&str> = match globs_are {
            Globs::OfSchemas => glob.split('.').collect(),
            Globs::OfNames => vec![glob],
        };
        let is_bad = |part: &&str| part.is_empty() || part.chars().any(|c| c.is_whitespace() || c.is_control());
        let is_whole = globs_are == Globs::OfNames || parts.len() == 2;
        let what = match is_whole && !parts.iter().any(is_bad) {
            true if !globs[..index].iter().any(|(earlier, _)| earlier == glob) => continue,
            true => format!("`{glob}` is listed twice"),
            false if globs_are == Globs::OfNames => {
                format!("`{glob}` is not the name of a table, where `*` and `?` may stand for any characters")
            }
            false => format!("`{glob}` is not `schema.table`, where `*` and `?` may stand for any characters"),
        };
        table.reading.complain(span, &table.path_of("tables"), what, None);
    }
    globs.into_iter().map(|(glob, _)| glob).collect()
}

fn base(table: &Table<'_>, kind: Kind) -> BaseProfile {
    if table.is_table("base") {
        return table.table("base").map_or(BaseProfile::None, |base| base_table(base, kind));
    }
    let words = [("none", BaseWord::None), ("versions", BaseWord::Versions)];
    match table.word_of("base", &words, |word| word == BaseWord::None || kind == Kind::S3) {
        Some(BaseWord::Versions) if kind != Kind::S3 => {
            table.complain("base", "`versions` is a base for kind s3 only", None);
            BaseProfile::None
        }
        Some(BaseWord::Versions) => BaseProfile::Versions,
        Some(BaseWord::None) | None => BaseProfile::None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BaseWord {
    None,
    Versions,
}

fn base_table(table: Table<'_>, kind: Kind) -> BaseProfile {
    table.rule(Rule::One(match kind {
        Kind::DynamoDb => &["checkpoint", "table", "export"],
        Kind::Postgres | Kind::Mysql => &["checkpoint", "database"],
        Kind::S3 | Kind::Memory => &["checkpoint"],
    }));
    table.rule(Rule::Only);
    let exports = exports::places(&table, "export");
    let given = table.known_texts(&["checkpoint", "table", "database"]);
    let mut base = BaseProfile::None;
    match given.as_slice() {
        [] if !exports.is_empty() && kind == Kind::DynamoDb => base = BaseProfile::Exports(exports),
        [] if table.has("export") && kind != Kind::DynamoDb => {
            table.complain("export", "`export` is a base for kind dynamodb only", None);
        }
        // What is wrong with it is told already.
        [] if table.has("export") => {}
        given if table.has("export") => {
            table.not_one(&["checkpoint", "table", "database", "export"], given.len() + 1);
        }
        [("checkpoint", name)] => base = BaseProfile::Checkpoint(name.clone()),
        [("table", name)] if kind == Kind::DynamoDb => base = BaseProfile::Table(name.clone()),
        [("table", _)] => table.complain("table", "`table` is a base for kind dynamodb only", None),
        [("database", name)] if matches!(kind, Kind::Postgres | Kind::Mysql) => {
            if name.contains("://") {
                check_database_url(&table, "database", name, kind);
            }
            base = BaseProfile::Database(name.clone());
        }
        [("database", _)] => table.complain("database", "`database` is a base for kinds postgres and mysql only", None),
        given => {
            table.not_one(&["checkpoint", "table", "database", "export"], given.len());
        }
    }
    table.finish();
    base
}

fn policy(table: Table<'_>) -> PolicyProfile {
    let default = PolicyProfile::default();
    let conflict = [
        ("hold", ConflictPolicy::Hold),
        ("dr-wins", ConflictPolicy::DrWins),
        ("primary-wins", ConflictPolicy::PrimaryWins),
        ("newest", ConflictPolicy::Newest),
    ];
    let stranded =
        [("keep", StrandedPolicy::Keep), ("hold", StrandedPolicy::Hold), ("overwrite", StrandedPolicy::Overwrite)];
    let unattributed = [
        ("hold", UnattributedPolicy::Hold),
        ("dr-wins", UnattributedPolicy::DrWins),
        ("mirror", UnattributedPolicy::Mirror),
    ];
    let deletes =
        [("base-proved", DeletePolicy::BaseProved), ("mirror", DeletePolicy::Mirror), ("never", DeletePolicy::Never)];
    let policy = PolicyProfile {
        conflict: table.word("conflict", &conflict).unwrap_or(default.conflict),
        stranded: table.word("stranded", &stranded).unwrap_or(default.stranded),
        unattributed: table.word("unattributed", &unattributed).unwrap_or(default.unattributed),
        deletes: table.word("deletes", &deletes).unwrap_or(default.deletes),
        delete_limit_percent: table.percent("delete_limit_percent").unwrap_or(default.delete_limit_percent),
        overwrite_limit_percent: table.percent("overwrite_limit_percent").unwrap_or(default.overwrite_limit_percent),
        base_age_tolerance_seconds: table
            .number("base_age_tolerance_seconds", 0..=u64::from(u32::MAX))
            .unwrap_or(default.base_age_tolerance_seconds),
    };
    table.finish();
    policy
}

/// `newest` needs something that orders writes.
fn check_newest(table: &Table<'_>, policy: PolicyProfile, resources: &Resources) {
    if policy.conflict != ConflictPolicy::Newest {
        return;
    }
    let (is_declared, hint) = match resources {
        Resources::DynamoDb { newest_attribute, .. } => {
            (newest_attribute.is_some(), "add `newest_attribute`, an attribute that orders writes")
        }
        Resources::Postgres(rows) | Resources::Mysql(rows) => {
            (rows.newest_column.is_some(), "add `newest_column`, a column that orders writes")
        }
        Resources::S3 { .. } | Resources::Memory { .. } => {
            (false, "this kind has nothing that orders writes: use hold, dr-wins or primary-wins")
        }
    };
    if !is_declared {
        table.complain("policy", "`conflict = \"newest\"` cannot tell which write is the newest", Some(hint));
    }
}

fn limits(table: Table<'_>) -> LimitsProfile {
    let default = LimitsProfile::default();
    let rate = |name, default| table.number(name, 0..=RATE_MAX).map_or(default, narrow);
    let limits = LimitsProfile {
        reads_per_second: rate("reads_per_second", default.reads_per_second),
        writes_per_second: rate("writes_per_second", default.writes_per_second),
    };
    table.finish();
    limits
}
