//! Connections to databases: whose certificates are trusted, and tokens of IAM in place of passwords.

mod directory;
mod login;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use failback::model::{Side, StoreId};
use failback::profile::{AuthMode, CredentialsProfile, DatabaseProfile, Secret, SideProfile};
use failback::store::mysql::MysqlStore;
use failback::store::postgres::PostgresStore;
use failback::store::{ErrorKind, ReadStore, Result, RowStore};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use self::directory::Directory;
use crate::peers::{self, PostgresMajor, Server};
use crate::postgres::{reached, sql};

/// An authority of our own, and a server's certificate from it that is good for `localhost` alone.
struct Authority {
    folder: tempfile::TempDir,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Authority {
        let own = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = tempfile::tempdir().expect("a folder");
        // Two authorities of one name would be told apart by their signatures only.
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        let root = params.self_signed(&own).expect("a root");
        let key = KeyPair::generate().expect("a key");
        let named = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = named.signed_by(&key, &Issuer::from_params(&params, &own)).expect("a certificate");
        // The servers run as another user.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
        let authority = Authority { folder, certificate: certificate.pem(), key: key.serialize_pem() };
        for (name, text) in [("ca.pem", &root.pem()), ("cert.pem", &authority.certificate), ("key.pem", &authority.key)]
        {
            std::fs::write(authority.path(name), text).expect("written");
        }
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trusted(&self, host: &str, database: DatabaseProfile) -> DatabaseProfile {
        let url = database.url.as_ref().expect("a url").replace("127.0.0.1", host);
        DatabaseProfile { url: Some(url), ca_file: Some(self.path("ca.pem")), ..database }
    }
}

/// The statement that has the server write a file into its data folder.
fn planted(name: &str, text: &str) -> String {
    let text = BASE64_STANDARD.encode(text);
    format!("COPY (SELECT '{text}') TO PROGRAM 'base64 -d > {name} && chmod 600 {name}';")
}

/// A PostgreSQL that takes TLS with a certificate for `localhost`, and has the table `t`.
///
/// It is Debian's, since the wheel's is built without TLS.
async fn sealed_postgres(authority: &Authority) -> Option<Server> {
    let server = peers::postgres(PostgresMajor::V15)?;
    let statements = [
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);".to_owned(),
        planted("server.crt", &authority.certificate),
        planted("server.key", &authority.key),
    ];
    sql(&server, &statements.concat()).await;
    sql(&server, "ALTER SYSTEM SET ssl = on").await;
    reloaded(&server, "SELECT 1 WHERE current_setting('ssl') = 'on'").await;
    Some(server)
}

/// Reads the configuration again and waits until `proof` gives a row.
async fn reloaded(server: &Server, proof: &str) {
    sql(server, "SELECT pg_reload_conf()").await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", server.port);
    loop {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("connected");
        tokio::spawn(connection);
        if !client.query(proof, &[]).await.expect("asked").is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn postgres(reached: &SideProfile, database: &DatabaseProfile) -> Result<PostgresStore> {
    PostgresStore::connect(StoreId("ledger".into()), Side::Dr, reached, database, &["public.*".into()]).await
}

async fn mysql(reached: &SideProfile, database: &DatabaseProfile) -> Result<MysqlStore> {
    MysqlStore::connect(StoreId("wiki".into()), Side::Dr, reached, database, &["*".into()]).await
}

#[track_caller]
fn assert_distrusted<S>(connected: Result<S>, why: &str) {
    let error = connected.err().expect("no connection");
    assert_eq!(error.kind, ErrorKind::Unfit, "{error:?}");
    assert!(format!("{error:?}").contains(why), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_trusted_by_its_authority_and_name_alone() {
    let (own, other) = (Authority::new(), Authority::new());
    let Some(server) = sealed_postgres(&own).await else { return };
    let plain = || crate::postgres::database(server.port, "postgres");
    let store = postgres(&reached(), &own.trusted("localhost", plain())).await.expect("trusted");
    let sealed =
        "SELECT 1 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'failback' AND ssl";
    reloaded(&server, sealed).await;
    assert_eq!(store.begin_scan(1).await.expect("a scan").partitions(), 1);
    assert_distrusted(postgres(&reached(), &other.trusted("localhost", plain())).await, "UnknownIssuer");
    assert_distrusted(postgres(&reached(), &own.trusted("127.0.0.1", plain())).await, "not valid for name");
    let missing = DatabaseProfile { ca_file: Some("nowhere.pem".into()), ..plain() };
    assert_distrusted(postgres(&reached(), &missing).await, "`ca_file` of dr, nowhere.pem, cannot be read");
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_is_trusted_by_its_authority_and_name_alone() {
    let (own, other) = (Authority::new(), Authority::new());
    let option = |name: &str, file: &str| format!("--ssl-{name}={}", own.path(file).display());
    let options = [option("ca", "ca.pem"), option("cert", "cert.pem"), option("key", "key.pem")];
    let Some(server) = peers::mariadb_with(&options.each_ref().map(String::as_str)) else { return };
    let statements = "CREATE DATABASE wiki;\nCREATE TABLE wiki.page (id INT PRIMARY KEY);\n\
        CREATE USER sealed@'%' REQUIRE SSL;\nGRANT ALL ON wiki.* TO sealed@'%'";
    crate::mysql::sql(&server, "", statements).await;
    let plain = || crate::mysql::database(server.port, "sealed", "wiki");
    // Who does not come over TLS is not let in at all.
    let error = mysql(&reached(), &plain()).await.err().expect("refused");
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    let store = mysql(&reached(), &own.trusted("localhost", plain())).await.expect("trusted");
    assert_eq!(store.begin_scan(1).await.expect("a scan").partitions(), 1);
    assert_distrusted(mysql(&reached(), &other.trusted("localhost", plain())).await, "UnknownIssuer");
    assert_distrusted(mysql(&reached(), &own.trusted("127.0.0.1", plain())).await, "not valid for name");
    let missing = DatabaseProfile { ca_file: Some("nowhere.pem".into()), ..plain() };
    assert_distrusted(mysql(&reached(), &missing).await, "`ca_file` of dr, nowhere.pem, cannot be read");
}

/// A side whose tokens are signed by credentials of a test.
fn signing() -> SideProfile {
    let credentials = CredentialsProfile {
        access_key_id: "AKIDEXAMPLE".into(),
        secret_access_key: Secret("secret".into()),
        session_token: Some(Secret("session".into())),
    };
    SideProfile { credentials: Some(credentials), ..reached() }
}

/// Makes sure that this is a token for `user` at `place`, for the Region and credentials of [`signing`].
#[track_caller]
fn assert_token(token: &str, place: &str, user: &str) {
    let begin = format!("{place}/?Action=connect&DBUser={user}&X-Amz-Algorithm=AWS4-HMAC-SHA256&");
    assert!(token.starts_with(&begin), "{token}");
    let field = |name: &str| {
        let found = token.split('&').find_map(|part| part.strip_prefix(&format!("{name}=")));
        found.unwrap_or_else(|| panic!("no {name} in {token}")).to_owned()
    };
    let day = &field("X-Amz-Date")[..8];
    assert_eq!(field("X-Amz-Credential"), format!("AKIDEXAMPLE%2F{day}%2Fus-east-1%2Frds-db%2Faws4_request"));
    assert_eq!((field("X-Amz-Expires").as_str(), field("X-Amz-Security-Token").as_str()), ("900", "session"));
    assert_eq!((field("X-Amz-SignedHeaders").as_str(), field("X-Amz-Signature").len()), ("host", 64));
}

/// As RDS does it, the server asks for the password in clear over TLS and has somebody else judge it.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_server_is_given_a_token_for_every_connection() {
    let authority = Authority::new();
    let Some(server) = sealed_postgres(&authority).await else { return };
    let place = format!("localhost:{}", server.port);
    let judge = Directory::start(|password| !password.contains("DBUser=nobody"));
    let entry = |user: &str| {
        format!(
            "hostssl all {user} 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={} ldapprefix=\"uid=\"\n",
            judge.port
        )
    };
    let rules = format!("{}{}host all postgres 127.0.0.1/32 trust\n", entry("payer"), entry("nobody"));
    let roles = "CREATE ROLE payer LOGIN; CREATE ROLE nobody LOGIN; GRANT SELECT ON t TO payer;";
    sql(&server, &format!("{roles}{}", planted("pg_hba.conf", &rules))).await;
    reloaded(&server, "SELECT 1 FROM pg_hba_file_rules WHERE auth_method = 'ldap'").await;
    let by_token = |user: &str| {
        let plain = crate::postgres::database(server.port, "postgres");
        let url = plain.url.as_ref().expect("a url").replace("postgres@", &format!("{user}@"));
        authority.trusted("localhost", DatabaseProfile { url: Some(url), auth: AuthMode::Iam, ..plain })
    };
    let store = postgres(&signing(), &by_token("payer")).await.expect("let in");
    let scan = store.begin_scan(4).await.expect("a scan");
    assert_eq!(crate::postgres::leaves(scan.as_ref()).await.len(), 1);
    let another = postgres(&signing(), &by_token("payer")).await.expect("let in");
    assert!(another.identity().await.is_ok());
    let seen = judge.seen();
    assert!(seen.len() >= 2, "a token for each connection: {}", seen.len());
    seen.iter().for_each(|token| assert_token(token, &place, "payer"));
    let error = postgres(&signing(), &by_token("nobody")).await.err().expect("kept out");
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?}").contains("X-Amz"), "a token is a secret: {error:?}");
}

/// Nothing that lets somebody in goes to a server that does not encrypt.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_sent_in_clear() {
    let Some(server) = peers::postgres(PostgresMajor::V18) else { return };
    sql(&server, "SELECT 1").await;
    let plain = DatabaseProfile { auth: AuthMode::Iam, ..crate::postgres::database(server.port, "postgres") };
    assert_distrusted(postgres(&signing(), &plain).await, "TLS");
    let authority = Authority::new();
    let server = login::Server::start(&authority.certificate, &authority.key, login::Tls::Without);
    let plain = DatabaseProfile { auth: AuthMode::Iam, ..crate::mysql::database(server.port, "payer", "wiki") };
    let error = mysql(&signing(), &authority.trusted("localhost", plain)).await.err().expect("no connection");
    assert!(!error.kind.is_transient(), "{error:?}");
    assert_eq!(server.ended(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_server_is_given_a_token_as_it_is() {
    let authority = Authority::new();
    let server = login::Server::start(&authority.certificate, &authority.key, login::Tls::With);
    let plain = DatabaseProfile { auth: AuthMode::Iam, ..crate::mysql::database(server.port, "payer", "wiki") };
    let error = mysql(&signing(), &authority.trusted("localhost", plain)).await.err().expect("turned away");
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(!format!("{error:?}").contains("X-Amz"), "a token is a secret: {error:?}");
    let place = format!("localhost:{}", server.port);
    assert_token(&server.ended().expect("a password"), &place, "payer");
}
