#!/usr/bin/env bash
# Makes a Debian package of an area-net binary: bash config/deploy/deb.sh [BINARY [FOLDER [OPTION...]]]
#
# BINARY is target/release/area-net if it isn't given, and FOLDER, where the package is put, is target. OPTIONs are those of cargo with
# which the binary got other features than the default ones. The package contains the binary, the systemd unit, the settings as
# configuration files, manual pages, completions, the README, and the licences of area-net and of all that is linked into it. It needs
# dpkg-deb, and cargo for the list of what is linked. The same binary and the same commit give the same package, byte for byte.
set -euo pipefail
umask 022
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
binary=${1:-$here/target/release/area-net}
folder=${2:-$here/target}

# The first package of this version.
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/Cargo.toml" | head -n 1)-1
maintainer='The area-net authors <maintainers@area-net.invalid>'
# All times in the package are those of the commit; without a repository, that of the changelog.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || stat -c %Y "$here/CHANGELOG.md")}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
part=
trap 'rm -rf "$work" ${part:+"$part"}' EXIT
root=$work/root
doc=$root/usr/share/doc/area-net

install -D -m 755 "$binary" "$root/usr/bin/area-net"
install -D -m 644 "$here/config/deploy/area-net.service" "$root/usr/lib/systemd/system/area-net.service"
install -D -m 644 "$here/config/network/default.toml" "$root/etc/area-net/network/default.toml"
install -D -m 644 "$here/config/deploy/node.toml" "$root/etc/area-net/network/node.toml"
install -D -m 644 "$here/LICENSE" "$doc/copyright"
cat >>"$doc/copyright" <<'END'

The program also contains code of others: crates, and libraries of the compiler. The file /usr/share/doc/area-net/THIRD-PARTY names
them all, with their licences.
END
install -D -m 644 "$here/README.md" "$doc/README.md"
install -D -m 644 "$here/CHANGELOG.md" "$doc/changelog"
cat >"$doc/changelog.Debian" <<END
area-net ($version) unstable; urgency=medium

  * Packaged by config/deploy/deb.sh. changelog.gz says what changed.

 -- $maintainer  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
gzip -9n "$doc/changelog" "$doc/changelog.Debian"
mkdir -p "$root/usr/share/lintian/overrides"
cat >"$root/usr/share/lintian/overrides/area-net" <<'END'
# The names of functions stay in the binary, 1 MB: with them, a core file or a profile can be read. They are never loaded into memory.
area-net: unstripped-binary-or-object [usr/bin/area-net]
# A static executable that can be loaded at any address looks like a library that needs no other.
area-net: shared-library-lacks-prerequisites [usr/bin/area-net]
# This package is not uploaded to Debian.
area-net: initial-upload-closes-no-bugs [usr/share/doc/area-net/changelog.Debian.gz:1]
END

"$binary" man "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*
completions=$root/usr/share
mkdir -p "$completions"/{bash-completion/completions,zsh/vendor-completions,fish/vendor_completions.d}
"$binary" completions bash >"$completions/bash-completion/completions/area-net"
"$binary" completions zsh >"$completions/zsh/vendor-completions/_area-net"
"$binary" completions fish >"$completions/fish/vendor_completions.d/area-net.fish"

# The machine and the libraries of this very binary.
case $(od -An -t u2 -j 18 -N 2 "$binary" | tr -d ' ') in
    62) architecture=amd64 machine=x86_64 ;;
    183) architecture=arm64 machine=aarch64 ;;
    243) architecture=riscv64 machine=riscv64gc ;;
    *) echo "deb.sh: $binary is for a machine that this script doesn't know" >&2 && exit 1 ;;
esac
depends='init-system-helpers (>= 1.52)'
libc=musl
if grep -aq 'libc\.so\.6' "$binary"; then
    # The newest version of glibc that a symbol needs, and gcc's library, which unwinds the stack.
    glibc=$(grep -ao 'GLIBC_2\.[0-9]*' "$binary" | sort -uV | tail -n 1)
    depends="libc6 (>= ${glibc#GLIBC_}), libgcc-s1, $depends"
    libc=gnu
fi
bash "$here/config/deploy/licences.sh" "$machine-unknown-linux-$libc" "${@:3}" >"$doc/THIRD-PARTY"

# As dpkg-gencontrol counts: each file in KiB, rounded up, and one for everything else. What a file system says of its folders differs.
size=$(find "$root" -mindepth 1 \( -type f -printf '%s\n' -o -printf '1\n' \) | awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')

mkdir "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<END
Package: area-net
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Depends: $depends
Section: net
Priority: optional
Installed-Size: $size
Description: node of a QUIC overlay network
 An area-net node keeps its connections to other nodes up, and knows every node
 and every link between them, with its round-trip time. The package contains a
 systemd unit, which is neither enabled nor started by the installation.
END
printf '%s\n' /etc/area-net/network/default.toml /etc/area-net/network/node.toml >"$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$here/config/deploy/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"

find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$folder"
package=$folder/area-net_${version}_$architecture.deb
# With several threads, xz packs in blocks, so the package would depend on the number of processors.
export DPKG_DEB_THREADS_MAX=1
# Whoever is stopped here leaves no half of a package under its name.
part=$package.part
dpkg-deb --root-owner-group -Zxz --build "$root" "$part" >/dev/null
mv -f -- "$part" "$package"
echo "$package"
