#!/bin/sh
# Builds the Mach-O files that the tests read. They are kept in the repository, as the tools are
# large; needed are LLVM's clang, ld64.lld and llvm-lipo (Debian 12: clang-14 lld-14 llvm-14). The
# suffix of the tools' names can be given: SUFFIX=-14 ./build.sh
set -eu
cd "$(dirname "$0")"
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

# NAME PROCESSOR OPTIONS…
library() {
  name=$1 processor=$2
  shift 2
  "clang${SUFFIX-}" -target "$processor-apple-macos11" -ffreestanding -fvisibility=hidden -Os \
    -DKUZZLE_TOOLCHAIN='"clang"' -I../../../protocol-abi/include "$@" -c minimal.c -o "$objects/$name.o"
  "ld64.lld${SUFFIX-}" -dylib -arch "$processor" -platform_version macos 11.0 11.0 -adhoc_codesign \
    -install_name "@rpath/lib$name.dylib" -o "$name.dylib" "$objects/$name.o"
}

library arm64 arm64
library amd64 x86_64
library without-notify arm64 -DWITHOUT_NOTIFY
library relocated-note arm64 -DRELOCATED_NOTE
"llvm-lipo${SUFFIX-}" -create arm64.dylib amd64.dylib -output universal.dylib
