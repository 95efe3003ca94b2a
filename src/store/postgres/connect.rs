//! From a profile to a connection: RDS endpoints, TLS, and the session settings that make output exact.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault;
use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile};
use crate::store::sql::pool::Opens;
use crate::store::sql::rds::{self, Endpoint, Engines, Tokens};
use crate::store::sql::tls::{is_required, roots};
use crate::store::{ErrorKind, Result, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// Every setting here changes output text, what a query may see, or how long it may take: compiling a query (`jit`) takes
/// each new session more time than it saves. Servers before PostgreSQL 11 do not know the word.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'iso_8601';
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = 'content';
SET standard_conforming_strings = on; SET row_security = off; SET lock_timeout = '10s'; SET statement_timeout = '120s';
SET idle_in_transaction_session_timeout = 0; SET application_name = 'failback';
SELECT pg_catalog.set_config(name, 'off', false) FROM pg_catalog.pg_settings WHERE name = 'jit';
SELECT pg_catalog.set_config('search_path', '', false);";

/// What RDS calls PostgreSQL.
const ENGINES: Engines = Engines { names: &["postgres", "aurora-postgresql"], product: "PostgreSQL" };

/// A resolved server and database.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
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
        let (mut config, rds_id) = match rds::endpoint(reached, database, &ENGINES).await? {
            Some(endpoint) => (config_at(&endpoint), endpoint.id),
            None => (config_of(database.url.as_deref().unwrap_or_default())?, None),
        };
        if let Some(user) = &database.user {
            config.user(user);
        }
        if let Some(name) = &database.database {
            config.dbname(name);
        }
        if let Some(password) = &database.password {
            config.password(&password.0);
        }
        config.connect_timeout(CONNECT_TIMEOUT).keepalives_idle(KEEPALIVE_IDLE);
        config.keepalives_interval(Duration::from_secs(10)).keepalives_retries(3);
        let encrypted = is_required(database, is_loopback(&config));
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = if encrypted { Some(tls(database, side)?) } else { None };
        let (host, port) = server_of(&config);
        let tokens = Tokens::of(reached, database, (&host, port, config.get_user().unwrap_or_default())).await?;
        if tokens.is_some() && config.get_hosts().len() > 1 {
            return Err(StoreError::new(ErrorKind::Unfit, "an IAM token is for one host: name one in the url"));
        }
        let place = place_of(&config);
        Ok(Target { config, tls, tokens, side, place, rds_id })
    }

    /// Whether every transaction is read-only: true of every side but the primary.
    pub(super) fn is_read_only(&self) -> bool {
        self.side != Side::Primary
    }
}

#[async_trait]
impl Opens for Target {
    type Client = Client;

    async fn open(&self) -> Result<Client> {
        let what = || format!("cannot connect to {}, postgres {}", self.side, self.place);
        let mut config = self.config.clone();
        if let Some(tokens) = &self.tokens {
            config.password(tokens.token().await?);
        }
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) =
                    config.connect(tls.clone()).await.map_err(|error| fault::store_error(what(), &error))?;
                tokio::spawn(connection);
                client
            }
            None => {
                let (client, connection) =
                    config.connect(NoTls).await.map_err(|error| fault::store_error(what(), &error))?;
                tokio::spawn(connection);
                client
            }
        };
        let read_only = if self.is_read_only() { "SET default_transaction_read_only = on;" } else { "" };
        let settings = format!("{SESSION}{read_only}");
        let pinned = client.batch_execute(&settings).await;
        pinned.map_err(|error| fault::store_error(format!("cannot pin the session of {}", self.place), &error))?;
        Ok(client)
    }

    async fn is_usable(client: &mut Client) -> bool {
        !client.is_closed()
    }

    fn is_closed(client: &Client) -> bool {
        client.is_closed()
    }
}

fn config_of(url: &str) -> Result<Config> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::new(ErrorKind::Unfit, "a database url begins with postgres://"));
    }
    // The parser's own words may quote the URL, which may hold a password.
    url.parse().map_err(|_| StoreError::new(ErrorKind::Unfit, "the database url is malformed"))
}

fn config_at(endpoint: &Endpoint) -> Config {
    let mut config = Config::new();
    config.host(&endpoint.host).port(endpoint.port.unwrap_or(5432));
    config.user(endpoint.user.as_deref().unwrap_or("postgres"));
    config.dbname(endpoint.database.as_deref().unwrap_or("postgres"));
    config
}

fn host_of(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    }
}

fn is_loopback(config: &Config) -> bool {
    let by_name = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    });
    by_name && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn server_of(config: &Config) -> (String, u16) {
    let host = config.get_hosts().first().map(host_of).unwrap_or_else(|| "localhost".into());
    (host, config.get_ports().first().copied().unwrap_or(5432))
}

fn place_of(config: &Config) -> String {
    let (host, port) = server_of(config);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{host}:{port}/{database}")
}

fn tls(database: &DatabaseProfile, side: Side) -> Result<MakeRustlsConnect> {
    let mut trusted = rustls::RootCertStore::empty();
    trusted.add_parsable_certificates(roots(database, side)?);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::caused(ErrorKind::Local, "cannot set up TLS", error))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}
