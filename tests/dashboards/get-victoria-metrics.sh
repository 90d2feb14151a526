#!/bin/sh
# Takes VictoriaMetrics from Debian, without installing it: get-victoria-metrics.sh FOLDER [SUITE]
# The lists and the package stay inside of FOLDER; the program is FOLDER/bin/victoria-metrics.
set -eu
[ $# -ge 1 ] || { echo "usage: $0 FOLDER [SUITE]" >&2; exit 2; }
suite=${2:-trixie}
mkdir -p "$1/bin" "$1/lists/partial" "$1/archives/partial" "$1/package"
cd "$1"
folder=$(pwd)
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "$0: apt knows no mirror of Debian's" >&2; exit 1; }
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" > sources.list
apt="apt-get -qq -o Dir::Etc::SourceList=$folder/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null
  -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State::Lists=$folder/lists -o Dir::Cache=$folder -o APT::Sandbox::User=$(id -un)"
$apt update
$apt download victoria-metrics
dpkg -x victoria-metrics_*.deb package
ln -sf "$folder/package/usr/bin/victoria-metrics" bin/victoria-metrics
rm -rf lists archives victoria-metrics_*.deb pkgcache.bin srcpkgcache.bin
echo "$folder/bin/victoria-metrics"
