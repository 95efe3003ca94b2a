//! The rules of security groups, asked of EC2 by hand.
//!
//! EC2's crate is the largest of the SDK and takes minutes to compile, for two questions. So they are asked in EC2's query
//! protocol with the parts of the SDK that are there anyway: its credentials, its signer and its reader of XML. Nothing is tried
//! twice: what is not told is said to be not compared, with the reason, and asked again by the next check.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::chain;
use crate::control::security::{Rule, RuleTold};
use crate::profile::SideProfile;
use crate::store::aws::{endpoint, sdk_config};

const VERSION: &str = "2016-11-15";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of one listing that are read, and how many rules a page has.
const PAGES_MAX: usize = 20;
const PAGE_SIZE: usize = 1_000;

/// Groups that rules refer to and that are asked for by one request.
const GROUPS_AT_ONCE: usize = 100;

const FORM: &str = "application/x-www-form-urlencoded";

type Fields = Vec<(String, String)>;

/// What groups let in and out, together, or why that is not known.
pub(super) async fn rules_of(reached: &SideProfile, groups: &[String]) -> Result<BTreeSet<Rule>, String> {
    if groups.is_empty() {
        return Err("RDS names no security group".into());
    }
    // A filter leaves out a group that is not there, and asking for it by its id does not.
    let by_id = groups.iter().enumerate().map(|(at, id)| (format!("GroupId.{}", at + 1), id.clone())).collect();
    names(reached, by_id).await?;
    let told = told_rules(reached, groups).await?;
    let others: BTreeSet<&String> = told.iter().filter_map(|rule| rule.group.as_ref()).collect();
    let others: Vec<&String> = others.into_iter().filter(|id| !groups.contains(id)).collect();
    let mut named = BTreeMap::new();
    for some in others.chunks(GROUPS_AT_ONCE) {
        named.extend(names(reached, filter("group-id", some.iter().map(|id| id.as_str()))).await?);
    }
    Ok(told.iter().map(|rule| Rule::of(rule, groups, &named)).collect())
}

fn filter<'a>(name: &str, values: impl Iterator<Item = &'a str>) -> Fields {
    let mut fields = vec![("Filter.1.Name".to_owned(), name.to_owned())];
    fields.extend(values.enumerate().map(|(at, value)| (format!("Filter.1.Value.{}", at + 1), value.to_owned())));
    fields
}

async fn told_rules(reached: &SideProfile, groups: &[String]) -> Result<Vec<RuleTold>, String> {
    let (mut told, mut next) = (Vec::new(), None);
    for _ in 0..PAGES_MAX {
        let mut fields = filter("group-id", groups.iter().map(String::as_str));
        fields.push(("MaxResults".into(), PAGE_SIZE.to_string()));
        fields.extend(next.take().map(|token| ("NextToken".to_owned(), token)));
        let reply = ask(reached, "DescribeSecurityGroupRules", &fields).await?;
        let page = read(&reply, "securityGroupRuleSet", rule)?;
        told.extend(page.items);
        next = page.next;
        if next.is_none() {
            return Ok(told);
        }
    }
    Err(format!("there are more than {PAGES_MAX} pages of rules"))
}

/// The names of groups by their ids.
async fn names(reached: &SideProfile, fields: Fields) -> Result<BTreeMap<String, String>, String> {
    let reply = ask(reached, "DescribeSecurityGroups", &fields).await?;
    let page = read(&reply, "securityGroupInfo", |item| {
        let (mut id, mut name) = (None, None);
        while let Some(mut field) = item.next_tag() {
            match field.start_el().local() {
                "groupId" => id = text(&mut field)?,
                "groupName" => name = text(&mut field)?,
                _ => {}
            }
        }
        Ok(id.zip(name))
    })?;
    Ok(page.items.into_iter().flatten().collect())
}

/// One page of a listing.
struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

/// Reads every item of the list of this name.
fn read<T>(
    reply: &str,
    list: &str,
    one: impl Fn(&mut ScopedDecoder<'_, '_>) -> Result<T, XmlDecodeError>,
) -> Result<Page<T>, String> {
    let damaged = |error: &dyn std::error::Error| format!("EC2's answer cannot be read: {}", chain(error));
    // The reader takes the end of the text for that of every element.
    if !reply.trim_end().ends_with("Response>") {
        return Err("EC2's answer has no end".into());
    }
    let mut document = Document::new(reply);
    let mut root = document.root_element().map_err(|error| damaged(&error))?;
    let (mut page, mut is_there) = (Page { items: Vec::new(), next: None }, false);
    while let Some(mut tag) = root.next_tag() {
        match tag.start_el().local() {
            name if name == list => {
                is_there = true;
                while let Some(mut item) = tag.next_tag() {
                    page.items.push(one(&mut item).map_err(|error| damaged(&error))?);
                }
            }
            "nextToken" => page.next = text(&mut tag).map_err(|error| damaged(&error))?,
            _ => {}
        }
    }
    if is_there { Ok(page) } else { Err(format!("EC2's answer has no {list}")) }
}

fn text(tag: &mut ScopedDecoder<'_, '_>) -> Result<Option<String>, XmlDecodeError> {
    let data = try_data(tag)?;
    Ok(Some(data.trim().to_owned()).filter(|text| !text.is_empty()))
}

fn rule(item: &mut ScopedDecoder<'_, '_>) -> Result<RuleTold, XmlDecodeError> {
    let mut told = RuleTold::default();
    while let Some(mut field) = item.next_tag() {
        match field.start_el().local() {
            "isEgress" => told.is_egress = text(&mut field)?.and_then(|text| text.parse().ok()),
            "ipProtocol" => told.protocol = text(&mut field)?,
            "fromPort" => told.from_port = text(&mut field)?.and_then(|text| text.parse().ok()),
            "toPort" => told.to_port = text(&mut field)?.and_then(|text| text.parse().ok()),
            "cidrIpv4" => told.cidr_ipv4 = text(&mut field)?,
            "cidrIpv6" => told.cidr_ipv6 = text(&mut field)?,
            "prefixListId" => told.prefix_list = text(&mut field)?,
            "referencedGroupInfo" => {
                while let Some(mut inner) = field.next_tag() {
                    if inner.start_el().local() == "groupId" {
                        told.group = text(&mut inner)?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(told)
}

/// Asks once; gives the answer as it came.
async fn ask(reached: &SideProfile, action: &str, fields: &[(String, String)]) -> Result<String, String> {
    let what = |why: &str| format!("cannot ask EC2 ({action}): {why}");
    let own = endpoint(reached, "ec2").unwrap_or_else(|| public_endpoint(&reached.region));
    let url = reqwest::Url::parse(&own).map_err(|error| what(&format!("its endpoint is malformed: {error}")))?;
    let mut body = format!("Action={action}&Version={VERSION}");
    for (name, value) in fields {
        body += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    let headers = signed(reached, url.as_str(), &body).await.map_err(|why| what(&why))?;
    // An error means that one is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build();
    let failed = |error: reqwest::Error| what(&chain(&error.without_url()));
    let mut request = client.map_err(failed)?.post(url).header("content-type", FORM).body(body);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let reply = request.send().await.map_err(failed)?;
    let status = reply.status();
    let text = reply.text().await.map_err(failed)?;
    if status.is_success() { Ok(text) } else { Err(what(&refusal(status.as_u16(), &text))) }
}

fn public_endpoint(region: &str) -> String {
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://ec2.{region}.{end}/")
}

/// The headers that sign a request.
async fn signed(reached: &SideProfile, url: &str, body: &str) -> Result<Vec<(String, String)>, String> {
    let config = sdk_config(reached).await;
    let provider = config.credentials_provider().ok_or("there are no credentials")?;
    let credentials = provider.provide_credentials().await.map_err(|error| chain(&error))?;
    let clock = config.time_source().ok_or("there is no clock")?;
    let identity = credentials.into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(&reached.region)
        .name("ec2")
        .time(clock.now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| chain(&error))?;
    let headers = [("content-type", FORM)].into_iter();
    let request = SignableRequest::new("POST", url, headers, SignableBody::Bytes(body.as_bytes()));
    let signed = sign(request.map_err(|error| chain(&error))?, &params.into()).map_err(|error| chain(&error))?;
    let (headers, _) = signed.into_parts().0.into_parts();
    Ok(headers.iter().map(|header| (header.name().to_owned(), header.value().to_owned())).collect())
}

/// The code and the message of a refusal, where it has them.
fn refusal(status: u16, reply: &str) -> String {
    let (mut code, mut message) = (None, None);
    let mut document = Document::new(reply);
    while let Some(element) = document.next_start_element() {
        let place = match element.local() {
            "Code" => &mut code,
            "Message" => &mut message,
            _ => continue,
        };
        *place = text(&mut document.scoped_to(element)).ok().flatten();
    }
    let words: Vec<String> = [code, message].into_iter().flatten().collect();
    if words.is_empty() { format!("status {status}") } else { words.join(": ").replace(['\n', '\r'], " ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CredentialsProfile, Secret};

    /// The shapes of the API reference.
    #[test]
    fn rules_and_names_are_read_and_a_cut_answer_is_not() {
        let reply = "<DescribeSecurityGroupRulesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">
            <requestId>r</requestId><securityGroupRuleSet><item><securityGroupRuleId>sgr-1</securityGroupRuleId>
            <groupId>sg-1</groupId><isEgress>false</isEgress><ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort>
            <toPort>5432</toPort><referencedGroupInfo><groupId>sg-2</groupId><userId>1</userId></referencedGroupInfo></item>
            <item><isEgress>true</isEgress><ipProtocol>-1</ipProtocol><fromPort>-1</fromPort><toPort>-1</toPort>
            <cidrIpv4>0.0.0.0/0</cidrIpv4><tagSet/></item></securityGroupRuleSet><nextToken>more</nextToken>
            </DescribeSecurityGroupRulesResponse>";
        let page = read(reply, "securityGroupRuleSet", rule).expect("a page");
        assert_eq!(page.next.as_deref(), Some("more"));
        let [one, other] = page.items.as_slice() else { panic!("two rules: {:?}", page.items) };
        let told = RuleTold {
            is_egress: Some(false),
            protocol: Some("tcp".into()),
            from_port: Some(5432),
            to_port: Some(5432),
            group: Some("sg-2".into()),
            ..RuleTold::default()
        };
        assert_eq!(*one, told);
        assert_eq!((other.is_egress, other.cidr_ipv4.as_deref()), (Some(true), Some("0.0.0.0/0")));
        for cut in [&reply[..reply.len() / 2], "", "<html></html>", "<aResponse></aResponse>"] {
            assert!(read(cut, "securityGroupRuleSet", rule).is_err(), "{cut}");
        }
    }

    #[tokio::test]
    async fn a_request_is_signed_with_its_token_and_its_body() {
        let credentials = CredentialsProfile {
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: Secret("secret".into()),
            session_token: Some(Secret("token".into())),
        };
        let side = SideProfile {
            region: "us-west-2".into(),
            aws_profile: None,
            role_arn: None,
            account: None,
            endpoint_url: None,
            endpoints: BTreeMap::new(),
            credentials: Some(credentials),
        };
        let authorization = async |body: &str| {
            let headers = signed(&side, "https://ec2.us-west-2.amazonaws.com/", body).await.expect("signed");
            let value = |wanted: &str| {
                let found = headers.iter().find(|(name, _)| name == wanted);
                found.map(|(_, value)| value.clone()).expect("a header")
            };
            assert_eq!(value("x-amz-security-token"), "token");
            value("authorization")
        };
        let one = authorization("Action=A").await;
        for words in [
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/",
            "/us-west-2/ec2/aws4_request",
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token",
        ] {
            assert!(one.contains(words), "{words}: {one}");
        }
        assert_ne!(one, authorization("Action=B").await);
    }

    #[test]
    fn a_refusal_is_told_in_the_services_words() {
        let reply = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not &quot;allowed&quot;</Message>\
            </Error></Errors><RequestID>r</RequestID></Response>";
        assert_eq!(refusal(403, reply), "UnauthorizedOperation: You are not \"allowed\"");
        assert_eq!(refusal(502, "<html>"), "status 502");
    }

    #[test]
    fn every_partition_has_its_own_name() {
        assert_eq!(public_endpoint("us-gov-west-1"), "https://ec2.us-gov-west-1.amazonaws.com/");
        assert_eq!(public_endpoint("cn-north-1"), "https://ec2.cn-north-1.amazonaws.com.cn/");
    }
}
