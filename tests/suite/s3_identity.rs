//! Which bucket this is, when the server does not say.

use std::io::{Read, Write};

use failback::model::{Side, StoreId};
use failback::profile::BucketProfile;
use failback::store::s3::S3Store;
use failback::store::{ErrorKind, ReadStore};

use crate::peers;

/// An endpoint at which a bucket is there, and the account's buckets cannot be listed for the moment.
fn overloaded() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let status = if head.starts_with(b"HEAD") { "200 OK" } else { "503 Slow Down" };
            // A client that has gone away needs no answer.
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

#[tokio::test]
async fn a_bucket_that_cannot_be_told_for_the_moment_is_no_other_bucket() {
    let side = peers::side_on_port(overloaded(), "us-east-1");
    let profile = BucketProfile::new("b-1", String::new());
    let store = S3Store::connect(StoreId("media".into()), Side::Dr, &side, &profile, None).await.expect("a store");
    assert_eq!(store.identity().await.err().map(|error| error.kind), Some(ErrorKind::Throttled));
}
