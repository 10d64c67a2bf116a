//! What an operator does with a shell: steps for a tree as it is now.

use bytes::Bytes;

use super::tree::{Step, Tree};

/// Any version.
const ANY: i32 = -1;

/// The steps that give a node this data, and make it and those that hold it where they are absent.
pub(super) fn write(tree: &Tree, path: &str, data: Bytes) -> Vec<Step> {
    if tree.stat(path).is_some() {
        return vec![Step::Write {
            path: path.to_owned(),
            data,
            version: ANY,
        }];
    }
    let ends = path.match_indices('/').map(|(at, _)| at).skip(1);
    let above = ends.map(|end| &path[..end]);
    let absent = above.filter(|path| tree.stat(path).is_none());
    let all = absent.map(|path| (path, Bytes::new()));
    all.chain([(path, data)])
        .map(|(path, data)| Step::Create {
            path: path.to_owned(),
            data,
            ephemeral: false,
        })
        .collect()
}

/// The steps that delete a node and all under it; none if it is absent.
pub(super) fn delete(tree: &Tree, path: &str) -> Vec<Step> {
    let Some((names, _)) = tree.children(path) else {
        return Vec::new();
    };
    let under = names.iter();
    let mut steps: Vec<Step> = under
        .flat_map(|name| delete(tree, &format!("{path}/{name}")))
        .collect();
    steps.push(Step::Delete {
        path: path.to_owned(),
        version: ANY,
    });
    steps
}
