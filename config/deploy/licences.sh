#!/usr/bin/env bash
# Prints the licences of all code of others in an area-net binary: bash config/deploy/licences.sh [TARGET [OPTION...]]
#
# TARGET is x86_64-unknown-linux-musl if it isn't given, and OPTIONs are cargo's that choose features. The licences come from the
# unpacked crates of cargo's home and from the documents of the compiler, so the network is needed only for crates that aren't there
# yet. The same commit and the same compiler give the same text, byte for byte, and no path of this machine gets into it.
set -euo pipefail
export LC_ALL=C
target=${1:-x86_64-unknown-linux-musl}
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cargo=${CARGO_HOME:-$HOME/.cargo}
sysroot=$(rustc --print sysroot)
documents=$sysroot/share/doc/rust
libraries=$sysroot/lib/rustlib/$target/lib
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "licences.sh: $1" >&2
    exit 1
}
for document in COPYRIGHT-library.html COPYRIGHT.html licenses/MIT.txt; do
    [ -e "$documents/$document" ] || fail "the compiler has no share/doc/rust/$document; use one that rustup installed"
done
[ -d "$libraries" ] || fail "the standard library for $target is missing; rustup target add $target"

# Lists the standard texts of a licence expression: standard EXPRESSION. It needs one of a choice, and all of a conjunction.
standard() {
    local one missing=''
    for one in $(printf '%s' "$1" | tr '()/' '   '); do
        case $one in
            OR | AND | WITH) ;;
            *) if [ -e "$documents/licenses/$one.txt" ]; then echo "$documents/licenses/$one.txt"; else missing=yes; fi ;;
        esac
    done
    [[ -z $missing || $1 != *' AND '* ]] || fail "the compiler's documents lack a text of $1"
}

# Lists one entry, a line for each of its texts: entry KIND NAME EXPRESSION FOLDER FILE...
entry() {
    local kind=$1 name=$2 licence=$3 folder=$4 file
    shift 4
    for file in "$@"; do
        printf '%s\t%s\t%s\t%s\t%s\n' "$kind" "$name" "$licence" "${file#"$folder/"}" "$file"
    done
}

# The crates that cargo links for this target: no build script, no procedural macro, and nothing that only tests use.
cargo tree --quiet --locked --manifest-path "$here/Cargo.toml" --package area-net --target "$target" --edges normal,no-proc-macro \
    --prefix none --format '{p}|{l}' "${@:2}" >"$work/tree"
# A crate that was listed before has a mark.
sed 's/ (\*)$//' "$work/tree" | sort -u >"$work/crates"
while IFS='|' read -r package licence; do
    case $package in
        # A crate of this repository.
        *' (/'*) continue ;;
        *' ('*) fail "$package is from no registry" ;;
    esac
    package=${package/ v/ }
    folder=
    for folder in "$cargo"/registry/src/*/"${package/ /-}"; do
        break
    done
    [ -d "$folder" ] || fail "the source of $package is not in $cargo/registry/src"
    own=$(sed -n 's/^license-file = "\(.*\)"$/\1/p' "$folder/Cargo.toml" | head -n 1)
    {
        find "$folder" -type f ! -name '*.rs' \( -iname 'licen[cs]e*' -o -iname 'unlicen[cs]e*' -o -iname 'copying*' \
            -o -iname 'copyright*' -o -iname 'notice*' -o -ipath '*/licenses/*' \)
        [ -z "$own" ] || printf '%s\n' "$folder/$own"
    } | sort -u >"$work/files"
    mapfile -t files <"$work/files"
    if [ "${#files[@]}" -eq 0 ]; then
        standard "$licence" >"$work/files"
        mapfile -t files <"$work/files"
        [ "${#files[@]}" -gt 0 ] || fail "$package has no licence text, and the compiler's documents have none of $licence"
        entry crate "$package" "$licence (it contains no text; these are the standard ones)" "$documents/licenses" "${files[@]}"
    else
        entry crate "$package" "$licence" "$folder" "${files[@]}"
    fi
done <"$work/crates" >"$work/entries"

# What the compiler says of its own library: the text of the part about its tree, and a folder of texts for each crate. The page of
# the library lacks some crates that the library links. The page of the compiler has them, in all versions that the compiler uses.
for library in "$libraries"/lib*.rlib; do
    name=$(basename "$library" .rlib)
    name=${name#lib}
    echo "${name%-*}"
done | sort -u >"$work/libraries"
mkdir "$work/rust"
for page in COPYRIGHT-library.html COPYRIGHT.html; do
    sed -e 's/&#34;/"/g; s/&quot;/"/g; s/&#39;/'\''/g; s/&#60;/</g; s/&lt;/</g; s/&#62;/>/g; s/&gt;/>/g; s/&#38;/\&/g; s/&amp;/\&/g' \
        "$documents/$page" >"$work/page"
    awk -v page="$page" -v work="$work" '
        function tagless(text) { gsub(/<[^>]*>/, "", text); sub(/^[ \t]+/, "", text); return text }
        FILENAME ~ /\/libraries$/ { linked[$0] = 1; next }
        FILENAME ~ /\/named$/ { delete linked[$0]; next }
        /<h2 id="in-tree-files">/ { in_tree = page == "COPYRIGHT-library.html"; next }
        /<h2 id="out-of-tree-dependencies">/ { in_tree = 0 }
        in_tree && tagless($0) != "" { print tagless($0) >(work "/rust/in-tree") }
        /<h3>/ {
            name = tagless($0)
            sub(/^[^ ]* /, "", name)
            version = name
            sub(/-[0-9]+\..*/, "", name)
            version = substr(version, length(name) + 2)
            crate = name
            gsub(/-/, "_", crate)
            wanted = crate in linked
            file = ""
            if (wanted) print crate >(work "/found")
        }
        !wanted { next }
        /<b>License:<\/b>/ { licence = tagless($0); sub(/^License: */, "", licence) }
        /<summary>/ { file = tagless($0); gsub(/\//, "-", file) }
        /^ *<\/pre>/ { close(path); text = 0 }
        text { print >path }
        /^ *<pre>$/ {
            path = work "/rust/" name "-" version "-" file
            printf "library\t%s %s\t%s\t%s\t%s\n", name, version, licence, file, path
            text = 1
        }
    ' "$work/libraries" "$([ -e "$work/named" ] && echo "$work/named" || echo /dev/null)" "$work/page" >>"$work/entries"
    # The second page is read for what the first lacks.
    sort -u "$work/found" >"$work/named"
done
[ -s "$work/rust/in-tree" ] || fail "the compiler's COPYRIGHT-library.html has another form than this script knows"
texts=$documents/licenses
{
    rust=('Rust standard library' 'MIT OR Apache-2.0, and others for some files')
    entry library "${rust[@]}" "$work/rust" "$work/rust/in-tree"
    entry library "${rust[@]}" "$texts" "$texts"/{MIT,Apache-2.0,BSD-2-Clause,Unicode-3.0}.txt
    entry library 'compiler-rt and libunwind of LLVM' 'Apache-2.0 WITH LLVM-exception' "$texts" "$texts"/{Apache-2.0,LLVM-exception}.txt
    if [[ $target == *-musl* ]]; then
        cat >"$work/rust/COPYRIGHT" <<'END'
musl is Copyright © 2005-2020 Rich Felker, and others whom its file COPYRIGHT names (https://git.musl-libc.org/cgit/musl/tree/COPYRIGHT).
Parts have other holders, under the MIT licence or one that asks for no more:
regular expressions, Copyright © 2001-2008 Ville Laurikari;
mathematical functions, Copyright © 1993, 2004 Sun Microsystems, 2003-2011 David Schultz, 2003-2009 Steven G. Kargl,
2003-2009 Bruce D. Evans, 2008 Stephen L. Moshier, 2017-2018 Arm Limited;
copying of memory on ARM, Copyright © 2008 The Android Open Source Project, and on AArch64, Copyright © 1999-2019 Arm Limited;
DES, Copyright © 1994 David Burren; smoothsort, Copyright © 2011 Lynn Ochs.
END
        musl=(musl 'MIT, and BSD-2-Clause or ISC for some files')
        entry library "${musl[@]}" "$work/rust" "$work/rust/COPYRIGHT"
        entry library "${musl[@]}" "$texts" "$texts"/{MIT,BSD-2-Clause,ISC}.txt
    fi
} >>"$work/entries"

# Equal texts are printed once, also if only their white space differs.
sort -t "$(printf '\t')" -k 1,1 -k 2,2 -k 4,4 "$work/entries" >"$work/sorted"
cat <<'END'
Code of others in area-net

area-net itself is under the MIT licence. Its binary also contains the crates and libraries in this list, each under the licence
that its authors name. The numbers are those of the texts below.

END
awk -F '\t' '
    {
        text = ""
        blank = ""
        while ((got = (getline line <$5)) > 0) {
            sub(/[ \t\r]+$/, "", line)
            if (line == "") {
                blank = blank "\n"
                continue
            }
            text = text (text == "" ? "" : blank) line "\n"
            blank = ""
        }
        if (got < 0) exit 1
        close($5)
        if (text == "") next
        words = text
        gsub(/[ \t\n]+/, " ", words)
        if (!(words in number)) {
            number[words] = ++count
            texts[count] = text
        }
        if ($1 != kind) printf "%s", ($1 == "crate" ? "Crates:" : "\n\nLibraries of the compiler and of C:")
        if ($1 != kind || $2 != name) {
            printf "\n%s\n    licence: %s\n    texts:", $2, $3
            delete seen
        }
        if (!(number[words] in seen)) printf " %d", number[words]
        seen[number[words]] = 1
        kind = $1
        name = $2
    }
    END {
        printf "\n"
        for (one = 1; one <= count; one++) printf "\n\n---- text %d ----\n\n%s", one, texts[one]
    }
' "$work/sorted"
