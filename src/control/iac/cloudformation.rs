//! What a change set of type IMPORT asks for.

use serde_json::{Map, Value as Json, json};

use super::identifier;
use crate::control::restored::{Adopted, AdoptedKind};

/// One resource as CloudFormation has it.
struct Part {
    logical: String,
    kind: &'static str,
    property: &'static str,
    name: String,
}

fn parts(adopted: &[Adopted]) -> Vec<Part> {
    let own = |one: &Adopted| {
        let (kind, property) = kind(one.kind);
        Part { logical: logical(one.kind, &one.original), kind, property, name: one.final_name().to_owned() }
    };
    let instance = |name: &String| {
        let (kind, property) = kind(AdoptedKind::Instance);
        Part { logical: logical(AdoptedKind::Instance, name), kind, property, name: name.clone() }
    };
    adopted.iter().flat_map(|one| std::iter::once(own(one)).chain(one.instances.iter().map(instance))).collect()
}

/// The list for `--resources-to-import`: type, logical id and primary identifier of each resource.
pub(super) fn resources_to_import(adopted: &[Adopted]) -> String {
    let listed = parts(adopted).into_iter().map(|Part { logical, kind, property, name }| {
        json!({ "ResourceType": kind, "LogicalResourceId": logical, "ResourceIdentifier": { property: name } })
    });
    format!("{:#}\n", Json::from_iter(listed))
}

/// The resources as a template has them: each retained, as an import needs it, with the property that names it.
pub(super) fn template(adopted: &[Adopted]) -> String {
    let resource = |Part { logical, kind, property, name }: Part| {
        let resource = json!({
            "Type": kind,
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": { property: name },
        });
        (logical, resource)
    };
    let resources: Map<String, Json> = parts(adopted).into_iter().map(resource).collect();
    format!("{:#}\n", json!({ "AWSTemplateFormatVersion": "2010-09-09", "Resources": resources }))
}

/// The resource type and its primary identifier.
fn kind(kind: AdoptedKind) -> (&'static str, &'static str) {
    match kind {
        AdoptedKind::Table => ("AWS::DynamoDB::Table", "TableName"),
        AdoptedKind::Bucket => ("AWS::S3::Bucket", "BucketName"),
        AdoptedKind::Instance => ("AWS::RDS::DBInstance", "DBInstanceIdentifier"),
        AdoptedKind::Cluster => ("AWS::RDS::DBCluster", "DBClusterIdentifier"),
    }
}

/// A logical id: letters and digits only.
fn logical(kind: AdoptedKind, name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let name: String = identifier(name).split('_').filter(|word| !word.is_empty()).map(capital).collect();
    format!("{}{name}", capital(kind.word()))
}
