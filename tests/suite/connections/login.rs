//! The beginning of a MySQL server: it greets, goes over to TLS, asks for the password as it is and turns everybody away.
//!
//! MariaDB has no such way to log in without the machine's own PAM, and RDS has: `AWSAuthenticationPlugin`, whose other end
//! is `mysql_clear_password`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const CLIENT_SSL: u32 = 0x800;
/// Long passwords, found rows, a database at the beginning, protocol 4.1, transactions, secure connections, many statements
/// and results, plugins.
const CAPABILITIES: u32 = 0x1 | 0x2 | 0x8 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x8_0000;

/// Whether a server offers TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    With,
    Without,
}

/// A server that takes one connection.
pub struct Server {
    pub port: u16,
    told: JoinHandle<Option<String>>,
}

impl Server {
    pub fn start(certificate: &str, key: &str, tls: Tls) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_no_client_auth().with_single_cert(vec![certificate], key);
        let config = Arc::new(config.expect("they belong together"));
        let told = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            log_in(stream, config, tls)
        });
        Server { port, told }
    }

    /// The password that was sent, once the connection has ended.
    pub fn ended(self) -> Option<String> {
        self.told.join().expect("no panics")
    }
}

fn log_in(mut stream: TcpStream, config: Arc<ServerConfig>, tls: Tls) -> Option<String> {
    send(&mut stream, 0, &greeting(tls));
    let (_, request) = packet(&mut stream)?;
    let asked = u32::from_le_bytes(request[..4].try_into().expect("four bytes"));
    assert!(asked & CLIENT_SSL != 0 && request.len() == 32, "nothing is said before TLS");
    let mut sealed = StreamOwned::new(ServerConnection::new(config).expect("a connection"), stream);
    let (at, _) = packet(&mut sealed)?;
    send(&mut sealed, at + 1, b"\xfemysql_clear_password\0");
    let (at, password) = packet(&mut sealed)?;
    send(&mut sealed, at + 1, b"\xff\x15\x04#28000turned away");
    Some(String::from_utf8(password).expect("UTF-8").trim_end_matches('\0').to_owned())
}

fn greeting(tls: Tls) -> Vec<u8> {
    let capabilities = CAPABILITIES | if tls == Tls::With { CLIENT_SSL } else { 0 };
    let [low, second, third, high] = capabilities.to_le_bytes();
    let mut greeting = b"\x0a8.0.36\0".to_vec();
    greeting.extend([1, 0, 0, 0]);
    greeting.extend(b"saltsalt\0");
    greeting.extend([low, second, 45, 2, 0, third, high, 21]);
    greeting.extend([0; 10]);
    greeting.extend(b"saltsaltsalt\0mysql_native_password\0");
    greeting
}

fn send(stream: &mut impl Write, at: u8, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("a short packet").to_le_bytes();
    let head = [length[0], length[1], length[2], at];
    // A client that has gone away hears nothing.
    let _ = stream.write_all(&[&head, body].concat()).and_then(|()| stream.flush());
}

fn packet(stream: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; u32::from_le_bytes([head[0], head[1], head[2], 0]) as usize];
    stream.read_exact(&mut body).ok()?;
    Some((head[3], body))
}
