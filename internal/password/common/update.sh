#!/bin/sh
# Rebuilds common.txt: the 10,000 most common passwords of 8 code points or more
# (R-06), from the MIT-licensed npm package pinned below. Needs npm and node.
# Run it in this directory; the result is byte for byte reproducible.
set -eu
package='@zxcvbn-ts/language-common@3.0.4'
integrity='sha512-viSNNnRYtc7ULXzxrQIVUNwHAPSXRtoIwy/Tq4XQQdIknBzw4vz36lQLF6mvhMlTIlpjoN/Z1GFu/fwiAlUSsw=='
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tarball="$work/$(npm pack --silent --pack-destination "$work" "$package")"
got="sha512-$(openssl dgst -sha512 -binary "$tarball" | base64 -w0)"
if [ "$got" != "$integrity" ]; then
	echo "$package: $got is not the pinned $integrity" >&2
	exit 1
fi
tar -xzf "$tarball" -C "$work"
cp "$work/package/LICENSE.txt" LICENSE.txt
node update.mjs "$work/package/src/passwords.json" > common.txt
