#!/usr/bin/env bash
# What is hashed and kept must not depend on how `{:?}` prints: that follows the names of fields and variants in the code, and
# the versions of other crates. Files that hash may print so in messages only, in lines with the words "for people".
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

found=0
while IFS= read -r file; do
  # Without the tests at the end of the file.
  if sed '/^#\[cfg(test)\]/,$d' "$file" | grep -nE '\{[A-Za-z0-9_.]*:[#0-9x]*\?\}' |
    grep -vE '#\[error\(|[Ff]or people' | sed "s|^|$file:|"; then
    found=1
  fi
done < <(grep -rlE 'Sha256|digest_line|extend_digest|quoted\(' --include='*.rs' host/src host/files/src host/plugin/src host/python/src host/run/src | sort)

if [ "$found" = 1 ]; then
  echo "stored forms: these lines print with {:?} in files that hash; spell the form out (host/files/src/quoted.rs helps)"
  exit 1
fi
