//! What every scripted server on loopback needs, in the suite and in the benchmarks: requests read, and a side that reaches it.

pub mod servers;

use std::io::{self, BufRead};

use failback::profile::{CredentialsProfile, Secret, SideProfile};

/// The head of a request; its body is read beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The method and the path, such as `GET /bucket/key`.
    pub line: String,
    /// What the JSON protocol asks for, such as `GetRecords`; empty for other protocols.
    pub operation: String,
}

/// Reads the next request, its body into `body`; `None` when the client has gone away.
pub fn next_request(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let (mut request, mut length) = (Request::default(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim();
        if line.is_empty() {
            break;
        }
        if request.line.is_empty() {
            request.line = line.rsplit_once(' ').map_or(line, |(line, _version)| line).to_owned();
            continue;
        }
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_lowercase().as_str() {
            "x-amz-target" => request.operation = value.rsplit('.').next().unwrap_or_default().to_owned(),
            "content-length" => length = value.parse().map_err(io::Error::other)?,
            _ => {}
        }
    }
    body.resize(length, 0);
    reader.read_exact(body)?;
    Ok(Some(request))
}

/// A side of a profile that reaches a loopback port as `region`.
pub fn side_on_port(port: u16, region: &str) -> SideProfile {
    SideProfile {
        region: region.into(),
        aws_profile: None,
        role_arn: None,
        account: None,
        endpoint_url: Some(format!("http://127.0.0.1:{port}")),
        endpoints: Default::default(),
        credentials: Some(CredentialsProfile {
            access_key_id: "test".into(),
            secret_access_key: Secret("test".into()),
            session_token: None,
        }),
    }
}
