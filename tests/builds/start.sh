#!/usr/bin/env bash
# start.sh WAY PROGRAM OTHER ARGUMENTS...
# Starts a copy of PROGRAM in the way named; OTHER is another program, to take its place.
set -eu
way=$1 program=$2 other=$3
shift 3

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cp "$program" "$directory/some program"
cp "$other" "$directory/other"
cd "$directory"

loader() { ldd "$program" | grep -o '/[^ ]*/ld-[^ ]*' | head -n 1; }

case $way in
    copied) "$directory/some program" "$@" ;;
    relative_path) "./some program" "$@" ;;
    relative_path_then_chdir) "./some program" --leave-directory "$@" ;;
    through_PATH) PATH=$directory:$PATH "some program" "$@" ;;
    through_symlink) ln -s "some program" link && ./link "$@" ;;
    other_argv0) (exec -a "not a file" "./some program" "$@") ;;
    loader) "$(loader)" "$directory/some program" "$@" ;;
    loader_relative_path) "$(loader)" "./some program" "$@" ;;
    deleted) "./some program" --delete-self "$@" ;;
    renamed) "./some program" --rename-self "$@" ;;
    replaced) "./some program" --replace-self-by other "$@" ;;
    own_copy_as_executable) cp "some program" copy && "./some program" --executable "$directory/copy" "$@" ;;
    no_standard_descriptors) "./some program" "$@" 0<&- 2>&- ;;
    *) echo "start.sh: no such way: $way" >&2 && exit 2 ;;
esac
