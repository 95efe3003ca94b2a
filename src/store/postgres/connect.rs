//! From a profile to a connection: RDS endpoints, TLS, and the session settings that make output exact.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_rds::Client as Rds;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault;
use crate::model::Side;
use crate::profile::{DatabaseProfile, SideProfile, TlsMode};
use crate::store::{ErrorKind, Result, StoreError, aws};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// Every setting here changes output text, what a query may see, or how long it may take.
const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'iso_8601';
SET extra_float_digits = 1; SET bytea_output = 'hex'; SET lc_monetary = 'C'; SET xmloption = 'content';
SET standard_conforming_strings = on; SET row_security = off; SET lock_timeout = '10s'; SET statement_timeout = '120s';
SET idle_in_transaction_session_timeout = 0; SET application_name = 'failback';
SELECT pg_catalog.set_config('search_path', '', false);";

impl DatabaseProfile {
    /// The same server and user with another database, or another server altogether when `name_or_url` is a URL.
    pub fn in_database(&self, name_or_url: &str) -> DatabaseProfile {
        let mut other = self.clone();
        if name_or_url.contains("://") {
            other.url = Some(name_or_url.to_owned());
            (other.instance, other.cluster, other.database) = (None, None, None);
        } else {
            other.database = Some(name_or_url.to_owned());
        }
        other
    }
}

/// A resolved server and database.
#[derive(Clone)]
pub(super) struct Target {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    side: Side,
    /// `host:port/database`, for people.
    pub(super) place: String,
    /// The resource id RDS gives, where it was asked.
    pub(super) rds_id: Option<String>,
}

impl Target {
    /// Resolves a profile; asks RDS where it names an instance or a cluster.
    pub(super) async fn resolve(reached: &SideProfile, database: &DatabaseProfile, side: Side) -> Result<Target> {
        let (mut config, rds_id) = match (&database.url, &database.instance, &database.cluster) {
            (Some(url), None, None) => (config_of(url)?, None),
            (None, Some(instance), None) => instance_endpoint(reached, instance).await?,
            (None, None, Some(cluster)) => cluster_endpoint(reached, cluster).await?,
            _ => return Err(StoreError::new(ErrorKind::Unfit, "a database needs one of url, instance and cluster")),
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
        let encrypted = match database.tls {
            Some(TlsMode::Require) => true,
            Some(TlsMode::Disable) => false,
            None => !is_loopback(&config),
        };
        config.ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable });
        let tls = if encrypted { Some(tls()?) } else { None };
        let place = place_of(&config);
        Ok(Target { config, tls, side, place, rds_id })
    }

    /// Whether every transaction is read-only: true of every side but the primary.
    pub(super) fn is_read_only(&self) -> bool {
        self.side != Side::Primary
    }

    /// Opens one connection with every session setting pinned.
    pub(super) async fn open(&self) -> Result<Client> {
        let what = || format!("cannot connect to {}, postgres {}", self.side, self.place);
        let client = match &self.tls {
            Some(tls) => {
                let (client, connection) =
                    self.config.connect(tls.clone()).await.map_err(|error| fault::store_error(what(), &error))?;
                tokio::spawn(connection);
                client
            }
            None => {
                let (client, connection) =
                    self.config.connect(NoTls).await.map_err(|error| fault::store_error(what(), &error))?;
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
}

fn config_of(url: &str) -> Result<Config> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::new(ErrorKind::Unfit, "a database url begins with postgres://"));
    }
    // The parser's own words may quote the URL, which may hold a password.
    url.parse().map_err(|_| StoreError::new(ErrorKind::Unfit, "the database url is malformed"))
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

fn place_of(config: &Config) -> String {
    let host = config.get_hosts().first().map(host_of).unwrap_or_else(|| "localhost".into());
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{host}:{port}/{database}")
}

fn tls() -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(StoreError::new(ErrorKind::Local, "no trusted certificates found; set SSL_CERT_FILE"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::caused(ErrorKind::Local, "cannot set up TLS", error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

async fn rds(reached: &SideProfile) -> Rds {
    let config = aws::sdk_config(reached).await;
    let mut builder = aws_sdk_rds::config::Builder::from(&config);
    builder.set_endpoint_url(aws::endpoint(reached, "rds"));
    Rds::from_conf(builder.build())
}

async fn instance_endpoint(reached: &SideProfile, name: &str) -> Result<(Config, Option<String>)> {
    let reply = rds(reached).await.describe_db_instances().db_instance_identifier(name).send().await;
    let reply = reply.map_err(|error| aws::store_error(format!("cannot find the RDS instance {name}"), error))?;
    let Some(found) = reply.db_instances().first() else {
        return Err(StoreError::new(ErrorKind::Missing, format!("no RDS instance {name}")));
    };
    let endpoint = found.endpoint();
    let server = RdsServer {
        name,
        engine: found.engine(),
        status: found.db_instance_status(),
        host: endpoint.and_then(|endpoint| endpoint.address()),
        port: endpoint.and_then(|endpoint| endpoint.port()),
        user: found.master_username(),
        database: found.db_name(),
    };
    Ok((server.config()?, found.dbi_resource_id().map(str::to_owned)))
}

async fn cluster_endpoint(reached: &SideProfile, name: &str) -> Result<(Config, Option<String>)> {
    let reply = rds(reached).await.describe_db_clusters().db_cluster_identifier(name).send().await;
    let reply = reply.map_err(|error| aws::store_error(format!("cannot find the RDS cluster {name}"), error))?;
    let Some(found) = reply.db_clusters().first() else {
        return Err(StoreError::new(ErrorKind::Missing, format!("no RDS cluster {name}")));
    };
    let server = RdsServer {
        name,
        engine: found.engine(),
        status: found.status(),
        host: found.endpoint(),
        port: found.port(),
        user: found.master_username(),
        database: found.database_name(),
    };
    Ok((server.config()?, found.db_cluster_resource_id().map(str::to_owned)))
}

struct RdsServer<'a> {
    name: &'a str,
    engine: Option<&'a str>,
    status: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<i32>,
    user: Option<&'a str>,
    database: Option<&'a str>,
}

impl RdsServer<'_> {
    fn config(&self) -> Result<Config> {
        let unfit = |what: String| StoreError::new(ErrorKind::Unfit, format!("{} {what}", self.name));
        let engine = self.engine.unwrap_or("of no known engine");
        if !matches!(engine, "postgres" | "aurora-postgresql") {
            return Err(unfit(format!("is {engine}, not PostgreSQL")));
        }
        let status = self.status.unwrap_or("unknown");
        if status != "available" {
            return Err(unfit(format!("is {status}, not available")));
        }
        let host = self.host.ok_or_else(|| unfit("has no endpoint yet".into()))?;
        let port = self.port.and_then(|port| u16::try_from(port).ok()).unwrap_or(5432);
        let mut config = Config::new();
        config.host(host).port(port).user(self.user.unwrap_or("postgres"));
        config.dbname(self.database.unwrap_or("postgres"));
        Ok(config)
    }
}
