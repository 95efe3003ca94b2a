//! From a profile to a connection: RDS endpoints, TLS, and the session settings that make values exact.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};

use super::{ask, fault};
use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::sql::pool::Opens;
use crate::store::sql::rds::{self, Endpoint, Engines, Tokens};
use crate::store::sql::tls::{is_required, roots};
use crate::store::{ErrorKind, Result, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Statements that a connection keeps prepared.
const STATEMENTS_KEPT: usize = 128;

/// What RDS calls MySQL and MariaDB.
const ENGINES: Engines =
    Engines { names: &["mysql", "mariadb", "aurora-mysql", "aurora"], product: "MySQL or MariaDB" };

/// What is stored must come out, and must be taken, as it is: dates of zeroes, and a key of 0.
pub(super) const SQL_MODE: &str = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION";

/// Every setting here changes what comes out or goes in, what a query may see, or how long it may take.
///
/// Results come in the character set of their column (`character_set_results` NULL), so that no conversion loses a byte.
/// Transactions read what is committed, because a guard must see what others wrote.
const SESSION: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET character_set_results = NULL",
    "SET time_zone = '+00:00'",
    "SET autocommit = 1, foreign_key_checks = 1, unique_checks = 1, sql_auto_is_null = 0, sql_safe_updates = 0",
    "SET sql_select_limit = 18446744073709551615, group_concat_max_len = 1048576, div_precision_increment = 4",
    "SET innodb_lock_wait_timeout = 10, lock_wait_timeout = 10, wait_timeout = 28800",
    "SET net_write_timeout = 3600, net_read_timeout = 600, completion_type = 0",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// Settings that only one of the two products has.
const SESSION_MARIADB: &[&str] = &["SET max_statement_time = 120, check_constraint_checks = 1"];
const SESSION_MYSQL: &[&str] = &["SET max_execution_time = 120000"];

/// From MySQL 8 on, counters are told from a copy that is up to a day old unless this is set.
const SESSION_MYSQL_8: &str = "SET information_schema_stats_expiry = 0";

/// Which of the two products a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    MariaDb,
    MySql,
}

impl Flavour {
    /// Tells by what `version()` says.
    pub(super) fn of(version: &str) -> Flavour {
        if version.to_ascii_lowercase().contains("mariadb") { Flavour::MariaDb } else { Flavour::MySql }
    }

    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Flavour::MariaDb => "MariaDB",
            Flavour::MySql => "MySQL",
        }
    }
}

/// Which product a server is, and what it says of its version.
pub(super) async fn version(conn: &mut Conn) -> Result<(Flavour, String)> {
    let rows = ask::rows(conn, "cannot ask for the server's version", "SELECT version()", ()).await?;
    let version = rows.into_iter().next().map(|mut row| row.text(0)).transpose()?.unwrap_or_default();
    Ok((Flavour::of(&version), version))
}

/// Lets statements of this connection take as long as they need.
pub(super) async fn without_limit(conn: &mut Conn) -> Result<()> {
    let no_limit = match version(conn).await?.0 {
        Flavour::MariaDb => "SET max_statement_time = 0",
        Flavour::MySql => "SET max_execution_time = 0",
    };
    let failed = |error| fault::store_error("cannot lift the limit of time", &error);
    conn.query_drop(no_limit).await.map_err(failed)
}

/// Whether the server keeps its catalog in tables of its own, as MySQL does from version 8 on.
pub(super) fn has_dictionary(flavour: Flavour, version: &str) -> bool {
    flavour == Flavour::MySql && !version.starts_with("5.")
}

/// A resolved server and database.
#[derive(Clone)]
pub(super) struct Target {
    opts: Opts,
    /// What makes the password, where that is an IAM token.
    tokens: Option<Tokens>,
    side: Side,
    /// `host:port/database`, for people.
    pub(super) place: String,
    /// The resource id RDS gives, where it was asked.
    pub(super) rds_id: Option<String>,
}

impl Target {
    /// Resolves a profile; asks RDS where it names an instance or a cluster.
    pub(super) async fn resolve(reached: &SideProfile, database: &DatabaseProfile, side: Side) -> Result<Target> {
        let (mut builder, rds_id) = match rds::endpoint(reached, database, &ENGINES).await? {
            Some(endpoint) => (builder_at(&endpoint), endpoint.id),
            None => (builder_of(database.url.as_deref().unwrap_or_default())?, None),
        };
        if let Some(user) = &database.user {
            builder = builder.user(Some(user.clone()));
        }
        if let Some(name) = &database.database {
            builder = builder.db_name(Some(name.clone()));
        }
        if let Some(password) = &database.password {
            builder = builder.pass(Some(password.0.clone()));
        }
        let plain = Opts::from(builder.clone());
        let encrypted = is_required(database, is_loopback(plain.ip_or_hostname()));
        let tls = if encrypted { Some(tls(database, side)?) } else { None };
        let server = (plain.ip_or_hostname(), plain.tcp_port(), plain.user().unwrap_or_default());
        let tokens = Tokens::of(reached, database, server).await?;
        let builder = builder
            .ssl_opts(tls)
            .prefer_socket(false)
            .client_found_rows(true)
            .stmt_cache_size(STATEMENTS_KEPT)
            .tcp_keepalive(Some(KEEPALIVE));
        let place = format!("{}:{}/{}", plain.ip_or_hostname(), plain.tcp_port(), plain.db_name().unwrap_or_default());
        if plain.db_name().unwrap_or_default().is_empty() {
            return Err(StoreError::new(ErrorKind::Unfit, format!("no database is named for {place}")));
        }
        Ok(Target { opts: builder.into(), tokens, side, place, rds_id })
    }

    /// Whether every transaction is read-only: true of every side but the primary.
    pub(super) fn is_read_only(&self) -> bool {
        self.side != Side::Primary
    }

    async fn connect(&self) -> Result<Conn> {
        let what = || format!("cannot connect to {}, mysql {}", self.side, self.place);
        let opts = match &self.tokens {
            None => self.opts.clone(),
            // RDS asks for the token as it is, which only goes over TLS.
            Some(tokens) => {
                let builder = OptsBuilder::from_opts(self.opts.clone()).pass(Some(tokens.token().await?));
                builder.enable_cleartext_plugin(true).into()
            }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, Conn::new(opts)).await {
            Ok(connected) => connected.map_err(|error| fault::store_error(what(), &error)),
            Err(elapsed) => Err(StoreError::caused(ErrorKind::Unreachable, what(), elapsed)),
        }
    }
}

#[async_trait]
impl Opens for Target {
    type Client = Conn;

    async fn open(&self) -> Result<Conn> {
        let mut conn = self.connect().await?;
        let failed = |error| {
            fault::store_error(format!("cannot pin the session of {}, mysql {}", self.side, self.place), &error)
        };
        let (flavour, version) = version(&mut conn).await?;
        let own = match flavour {
            Flavour::MariaDb => SESSION_MARIADB,
            Flavour::MySql => SESSION_MYSQL,
        };
        let mut settings: Vec<&str> = SESSION.iter().chain(own).copied().collect();
        let mode = format!("SET sql_mode = '{SQL_MODE}'");
        settings.push(&mode);
        if has_dictionary(flavour, &version) {
            settings.push(SESSION_MYSQL_8);
        }
        if self.is_read_only() {
            settings.push("SET SESSION TRANSACTION READ ONLY");
        }
        // In one request, for the server may be far away.
        conn.query_drop(settings.join("; ")).await.map_err(failed)?;
        Ok(conn)
    }

    /// The server ends what lies idle for long, which is only heard of by asking.
    async fn is_usable(client: &mut Conn) -> bool {
        client.ping().await.is_ok()
    }

    fn is_closed(_client: &Conn) -> bool {
        false
    }
}

fn builder_of(url: &str) -> Result<OptsBuilder> {
    if !url.starts_with("mysql://") {
        return Err(StoreError::new(ErrorKind::Unfit, "a database url of kind mysql begins with mysql://"));
    }
    // The parser's own words may quote the URL, which may hold a password.
    let opts = Opts::from_url(url).map_err(|_| StoreError::new(ErrorKind::Unfit, "the database url is malformed"))?;
    Ok(OptsBuilder::from_opts(opts))
}

fn builder_at(endpoint: &Endpoint) -> OptsBuilder {
    let builder = OptsBuilder::default().ip_or_hostname(endpoint.host.clone());
    let builder = builder.tcp_port(endpoint.port.unwrap_or(3306)).user(endpoint.user.clone());
    builder.db_name(endpoint.database.clone())
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// TLS that trusts what the profile or the system trusts, and nothing that a library brings along.
fn tls(database: &DatabaseProfile, side: Side) -> Result<SslOpts> {
    let roots = roots(database, side)?.into_iter().map(|root| root.to_vec().into()).collect();
    Ok(SslOpts::default().with_disable_built_in_roots(true).with_root_certs(roots))
}
