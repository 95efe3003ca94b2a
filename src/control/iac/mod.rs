//! Infrastructure as code for what took another's place: files that have Terraform or CloudFormation adopt it, and what they
//! will find different. Nothing is applied: a person reads the plan, which must not destroy anything.

mod cloudformation;
mod terraform;

use super::restored::{Adopted, AdoptedKind, Present};

/// A file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IacFile {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    pub text: String,
}

/// All files for these resources, the manual first; none where nothing is adopted.
pub fn files(adopted: &[Adopted]) -> Vec<IacFile> {
    if adopted.is_empty() {
        return Vec::new();
    }
    let file = |name, text| IacFile { name, text };
    vec![
        file("README.md", readme(adopted)),
        file("terraform-1-removed.tf", terraform::removed(adopted)),
        file("terraform-2-import.tf", terraform::import(adopted)),
        file("cloudformation-import.json", cloudformation::resources_to_import(adopted)),
        file("cloudformation-template.json", cloudformation::template(adopted)),
    ]
}

/// What a copy does not bring along, by AWS's own description of restores.
fn differs(kind: AdoptedKind) -> &'static [&'static str] {
    match kind {
        AdoptedKind::Table => &[
            "stream and stream ARN",
            "time to live",
            "point-in-time recovery",
            "auto scaling",
            "tags",
            "CloudWatch alarms",
            "resource policy",
            "deletion protection",
        ],
        AdoptedKind::Bucket => &[
            "policy",
            "versioning",
            "lifecycle rules",
            "replication rules",
            "event notifications",
            "encryption",
            "tags",
            "public access block",
        ],
        AdoptedKind::Instance => &[
            "parameter group",
            "option group",
            "security groups",
            "subnet group",
            "backup retention",
            "Multi-AZ",
            "deletion protection",
            "master password",
            "CA certificate",
            "resource id",
        ],
        AdoptedKind::Cluster => &[
            "cluster parameter group",
            "security groups",
            "subnet group",
            "backup retention",
            "deletion protection",
            "master password",
            "the instances, which keep their names and are imported beside it",
            "resource id",
        ],
    }
}

fn readme(adopted: &[Adopted]) -> String {
    let mut text = String::from(
        "# Adopting what was restored\n\nNothing here is applied by itself. Names of resources in your own configuration (Terraform addresses, logical ids, \
         the stack) are not known: put yours in their place.\n\n",
    );
    for one in adopted {
        let becomes = if one.is_renamed { format!(", to be renamed to {} first", one.original) } else { String::new() };
        text += &format!(
            "- store {}: the {} {} in {} takes the place of {}{becomes} (told by {}). {}\n",
            one.store,
            one.kind.word(),
            one.name,
            one.region,
            one.original,
            one.told_by,
            shows(one)
        );
    }
    text + TERRAFORM + CLOUDFORMATION
}

/// What a plan will show as different: by value where the copy's is known, else in general.
fn shows(one: &Adopted) -> String {
    let told = one.present.iter().map(|Present { attribute, value, original }| match original {
        Some(original) if original != value => format!("{attribute}: {value} (original: {original})"),
        Some(_) => format!("{attribute}: {value} (as the original)"),
        None => format!("{attribute}: {value}"),
    });
    let told: Vec<String> = told.collect();
    let is_known = |name: &&&str| one.present.iter().any(|present| present.attribute == **name);
    let others: Vec<&str> = differs(one.kind).iter().filter(|name| !is_known(name)).copied().collect();
    let others = others.join(", ");
    match (told.is_empty(), others.is_empty()) {
        (true, _) => format!("A plan will show as different: {others}."),
        (false, true) => format!(
            "A plan will show what your configuration has otherwise than the copy at present: {}.",
            told.join("; ")
        ),
        (false, false) => format!(
            "A plan will show what your configuration has otherwise than the copy at present: {}. It will show as different as well, \
             where the original had any: {others}.",
            told.join("; ")
        ),
    }
}

const TERRAFORM: &str = "
## Terraform, 1.7 or later

1. Take the resource blocks of the originals out of your configuration, put `terraform-1-removed.tf` beside it and run
   `terraform plan`. It must say `0 to destroy`: the originals are forgotten, not deleted. Then `terraform apply`.
2. Delete that file, put the resource blocks back with the new names, put `terraform-2-import.tf` beside them and run
   `terraform plan` again. It must say `0 to destroy`, and no resource may be replaced. What it wants to change is what the
   copies lack: read it line by line before `terraform apply`. For a resource that has no block yet,
   `terraform plan -generate-config-out=adopted.tf` writes one.
";

const CLOUDFORMATION: &str = "
## CloudFormation

1. In the stack's template give every original `\"DeletionPolicy\": \"Retain\"` and update the stack; then take the originals out
   of the template and update it again. CloudFormation forgets them and deletes nothing.
2. Put the resources of `cloudformation-template.json` into the template, each with the properties it really has, and import them:

       aws cloudformation create-change-set --stack-name STACK --change-set-name failback-import --change-set-type IMPORT \\
         --template-body file://TEMPLATE.json --resources-to-import file://cloudformation-import.json
       aws cloudformation describe-change-set --stack-name STACK --change-set-name failback-import
       aws cloudformation execute-change-set --stack-name STACK --change-set-name failback-import

   Every change must be an `Import`. Afterwards `aws cloudformation detect-stack-drift --stack-name STACK` tells what differs.
";

/// A name as an identifier, in small letters.
fn identifier(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) { format!("_{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adopted() -> Vec<Adopted> {
        let one = |store: &str, kind, name: &str, original: &str, is_renamed| Adopted {
            store: store.into(),
            kind,
            region: "us-east-1".into(),
            name: name.into(),
            original: original.into(),
            told_by: "AWS Backup restore job 5B06-1".into(),
            instances: Vec::new(),
            is_renamed,
            present: Vec::new(),
        };
        let mut all = vec![
            one("orders", AdoptedKind::Table, "orders-restored", "orders", false),
            one("media", AdoptedKind::Bucket, "media.2026-restored", "media.2026", false),
            one("ledger", AdoptedKind::Instance, "ledger-restored", "ledger", true),
            one("books", AdoptedKind::Cluster, "books-restored", "books", true),
        ];
        all[3].instances = vec!["books-restored-1".into(), "books-restored-2".into()];
        let told = |attribute: &str, value: &str, original: Option<&str>| Present {
            attribute: attribute.into(),
            value: value.into(),
            original: original.map(str::to_owned),
        };
        all[0].present = vec![told("time to live", "off", None), told("point-in-time recovery", "off", None)];
        all[2].present = vec![
            told("parameter group", "default.postgres16", Some("ledger")),
            told("backup retention", "1 day", Some("14 days")),
            told("Multi-AZ", "off", Some("off")),
        ];
        all
    }

    fn text(name: &str) -> String {
        files(&adopted()).into_iter().find(|file| file.name == name).expect(name).text
    }

    #[test]
    fn the_files_are_as_they_were() {
        for file in files(&adopted()) {
            let golden =
                std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/control/iac/golden").join(file.name);
            snapbox::assert_data_eq!(file.text, snapbox::Data::read_from(&golden, None).raw());
        }
        assert_eq!(files(&[]), []);
    }

    /// Read by a parser of HCL: every block is one that Terraform knows, with the fields it needs.
    #[test]
    fn terraform_blocks_are_valid_and_destroy_nothing() {
        let removed: hcl_edit::structure::Body = text("terraform-1-removed.tf").parse().expect("HCL");
        assert_eq!(removed.blocks().count(), 4);
        for block in removed.blocks() {
            assert_eq!(block.ident.as_str(), "removed");
            let from = block.body.get_attribute("from").expect("from").value.to_string();
            assert!(from.trim().starts_with("aws_"), "{from}");
            let lifecycle = block.body.get_blocks("lifecycle").next().expect("a lifecycle");
            let destroy = lifecycle.body.get_attribute("destroy").expect("destroy").value.as_bool();
            assert_eq!(destroy, Some(false));
        }
        let import: hcl_edit::structure::Body = text("terraform-2-import.tf").parse().expect("HCL");
        let ids: Vec<String> = import
            .blocks()
            .map(|block| {
                assert_eq!(block.ident.as_str(), "import");
                assert!(block.body.get_attribute("to").is_some());
                block.body.get_attribute("id").expect("id").value.as_str().expect("text").to_owned()
            })
            .collect();
        assert_eq!(
            ids,
            ["orders-restored", "media.2026-restored", "ledger", "books", "books-restored-1", "books-restored-2"]
        );
    }

    /// The shape that CreateChangeSet documents for ResourcesToImport, and the template's part for each of them.
    #[test]
    fn every_resource_to_import_has_its_identifier_and_is_retained() {
        let listed: serde_json::Value = serde_json::from_str(&text("cloudformation-import.json")).expect("JSON");
        let template: serde_json::Value = serde_json::from_str(&text("cloudformation-template.json")).expect("JSON");
        let listed = listed.as_array().expect("a list");
        assert_eq!(listed.len(), 6);
        for resource in listed {
            let logical = resource["LogicalResourceId"].as_str().expect("a logical id");
            assert!(logical.chars().all(|c| c.is_ascii_alphanumeric()), "{logical}");
            let own = &template["Resources"][logical];
            assert_eq!((&own["Type"], &own["DeletionPolicy"]), (&resource["ResourceType"], &"Retain".into()));
            let identifier = resource["ResourceIdentifier"].as_object().expect("an identifier");
            assert_eq!(identifier.len(), 1);
            for (property, value) in identifier {
                assert_eq!(&own["Properties"][property], value);
            }
        }
    }

    #[test]
    fn quotes_and_interpolations_in_names_stay_text() {
        let mut odd = adopted();
        odd[0].name = "a\"${b}%{c}\\".into();
        let text = terraform::import(&odd[..1]);
        let body: hcl_edit::structure::Body = text.parse().expect("HCL");
        let id = body.blocks().next().and_then(|block| block.body.get_attribute("id").map(|id| id.value.clone()));
        assert!(id.is_some_and(|id| id.as_str() == Some("a\"${b}%{c}\\")), "{text}");
    }
}
