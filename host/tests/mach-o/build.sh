#!/bin/sh
# Builds the Mach-O files that the tests read. They are kept in the repository, as the tools are
# large: LLVM's clang, ld64.lld (16 or later: before, it made no chained fixups) and llvm-lipo. On
# Debian 12: CLANG=clang-14 LLD=ld64.lld-16 LIPO=llvm-lipo-14 ./build.sh
set -eu
cd "$(dirname "$0")"
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

# NAME PROCESSOR RELOCATIONS OPTIONS…
library() {
  name=$1 processor=$2 relocations=$3
  shift 3
  "${CLANG:-clang}" -target "$processor-apple-macos13" -ffreestanding -fvisibility=hidden -Os \
    -DKUZZLE_TOOLCHAIN='"clang"' -I../../../protocol-abi/include "$@" -c minimal.c -o "$objects/$name.o"
  "${LLD:-ld64.lld}" -dylib -arch "$processor" -platform_version macos 13.0 13.0 -adhoc_codesign \
    "-$relocations" -install_name "@rpath/lib$name.dylib" -o "$name.dylib" "$objects/$name.o"
  chmod 644 "$name.dylib"
}

library arm64 arm64 no_fixup_chains
library amd64 x86_64 no_fixup_chains
library without-notify arm64 no_fixup_chains -DWITHOUT_NOTIFY
library relocated arm64 no_fixup_chains -DPOINTER
library relocated-note arm64 no_fixup_chains -DRELOCATED_NOTE
library chained arm64 fixup_chains -DPOINTER
library chained-note arm64 fixup_chains -DRELOCATED_NOTE
"${LIPO:-llvm-lipo}" -create arm64.dylib amd64.dylib -output universal.dylib
chmod 644 universal.dylib
