//! A service of the JSON protocol that answers by script, for what no emulator does: sharded streams, trimmed records,
//! throttling with its reasons, statuses of global tables.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use failback::profile::SideProfile;
use serde_json::{Value as Json, json};

use crate::loopback::{next_request, side_on_port};

/// What a call is answered with: the HTTP status and the body.
pub type Answer = (u16, Json);

/// A successful answer.
pub fn ok(body: Json) -> Answer {
    (200, body)
}

/// An error of the service.
pub fn refused(code: &str) -> Answer {
    refused_with(code, json!({}))
}

/// An error of the service with further fields.
pub fn refused_with(code: &str, fields: Json) -> Answer {
    let mut body = json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "by script" });
    for (name, value) in fields.as_object().expect("fields") {
        body[name] = value.clone();
    }
    (400, body)
}

/// Starts a service; every call is given by the name of its operation, such as `GetRecords`, and its body.
pub fn fake_aws(answer: impl Fn(&str, &Json) -> Answer + Send + Sync + 'static) -> SideProfile {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(stream, answer.as_ref()));
        }
    });
    side_on_port(port, "us-east-1")
}

fn converse(stream: TcpStream, answer: &dyn Fn(&str, &Json) -> Answer) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut body = Vec::new();
    while let Ok(Some(request)) = next_request(&mut reader, &mut body) {
        let operation = request.operation;
        let (status, reply) = answer(&operation, &serde_json::from_slice(&body).expect("JSON"));
        let (reply, head) = (reply.to_string(), "content-type: application/x-amz-json-1.0\r\ncontent-length");
        // A client that has gone away hears nothing.
        let _ = write!(&stream, "HTTP/1.1 {status} x\r\n{head}: {}\r\n\r\n{reply}", reply.len());
    }
}

/// A table `orders` keyed by the text `id`; `more` goes into its description.
pub fn table(more: Json) -> Json {
    let mut table = json!({
        "TableId": "t", "TableName": "orders", "TableStatus": "ACTIVE",
        "TableArn": "arn:aws:dynamodb:us-east-1:000000000000:table/orders",
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    });
    for (name, value) in more.as_object().expect("fields") {
        table[name] = value.clone();
    }
    table
}

/// What a table answers to being described; `None` for other operations.
pub fn described(operation: &str, table: &Json) -> Option<Answer> {
    Some(ok(match operation {
        "DescribeTable" => json!({ "Table": table }),
        "DescribeTimeToLive" => json!({"TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}}),
        "DescribeContinuousBackups" => json!({}),
        _ => return None,
    }))
}
