#!/usr/bin/env bash
# Copies the command and the libraries that it needs into a folder of programs, so that it works without the checkout.
#
#   scripts/install.sh LOSSMITH [PREFIX]     PREFIX is ~/.local unless given
#
# It makes PREFIX/bin/lossmith and PREFIX/lib/lossmith, which the command finds by its own place (host/build.rs). To remove it
# again, remove these two.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh
source scripts/setup/libtorch.sh
lossmith=$1
prefix=${2:-$HOME/.local}
libraries=$prefix/lib/lossmith

mkdir -p "$prefix/bin"
rm -rf "$libraries.tmp"
torch=$(ldd "$lossmith" | awk '$1 == "libtorch_cpu.so" { print $3 }')
[ -e "$torch" ] || fail "$lossmith does not find its libtorch" "make build"
folder=$(dirname "$torch")

if [ "$(libtorch_kind "$(dirname "$folder")")" = "GPU build" ]; then
    # Its libraries are several GB and find each other by their places.
    rm -rf "$libraries"
    say "libtorch stays in $folder: the command needs it there"
    where="$prefix/bin/lossmith"
else
    where="$prefix/bin/lossmith and $libraries"
    mkdir -p "$libraries.tmp"
    # All that the command loads from libtorch's folder, also by way of other libraries. A link costs no room where one can be made.
    ldd "$lossmith" | awk -v folder="$folder/" 'index($3, folder) == 1 { print $3 }' | while read -r library; do
        real=$(readlink -f "$library")
        ln "$real" "$libraries.tmp/$(basename "$library")" 2>/dev/null || cp "$real" "$libraries.tmp/$(basename "$library")"
    done
    libtorch_version "$(dirname "$folder")" >"$libraries.tmp/build-version"
    rm -rf "$libraries"
    mv "$libraries.tmp" "$libraries"
fi

# A running command keeps the file that it was started from.
cp "$lossmith" "$prefix/bin/.lossmith.tmp"
strip --strip-debug "$prefix/bin/.lossmith.tmp" 2>/dev/null || true
mv -f "$prefix/bin/.lossmith.tmp" "$prefix/bin/lossmith"

size=$(du -shcL "$prefix/bin/lossmith" "$libraries" 2>/dev/null | tail -n 1 | cut -f 1)
say "$where ($size)"
case ":$PATH:" in
*":$prefix/bin:"*) ;;
*) say "$prefix/bin is not on the PATH; for this shell: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
