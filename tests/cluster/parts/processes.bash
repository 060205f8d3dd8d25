# Processes in the background, each with a log in $DIR/logs and its number in $DIR/pids. $DIR is the folder of what is running.

# How long to wait for what takes a second or two where the machine isn't busy.
readonly PATIENCE_SECONDS=120

# In a session of its own, so that Ctrl-C in a terminal leaves it to `down`, or to the watch.
launch() {
    local name="$1"
    shift
    setsid "$@" >>"$DIR/logs/$name.log" 2>&1 </dev/null &
    echo "$! $(started $!)" >"$DIR/pids/$name"
}

# When that process started, in ticks since the boot; nothing where it has ended. A number alone may have got to a stranger.
started() {
    local words
    # After the name, which may hold anything: the state, 17 words on the number of threads, 19 on the time. The first of
    # several threads may have ended while another still holds the port.
    read -r -a words < <(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
    [[ ${words[0]} == Z && ${words[17]} -le 1 ]] || echo "${words[19]}"
}

is_running() {
    local pid since
    read -r pid since 2>/dev/null <"$DIR/pids/$1" && [[ -n $since && "$(started "$pid")" == "$since" ]]
}

# Sends the signal until it has ended, at most for that many seconds.
end_by() {
    local signal="$1" name="$2" deadline=$((SECONDS + ${3:-PATIENCE_SECONDS})) pid
    while is_running "$name"; do
        read -r pid _ <"$DIR/pids/$name"
        kill "-$signal" "$pid" 2>/dev/null || true
        ((SECONDS < deadline)) || break
        sleep 0.05
    done
}

wait_for() {
    local name="$1" what="$2" deadline=$((SECONDS + PATIENCE_SECONDS)) answer
    shift 2
    until answer="$("$@" 2>&1)"; do
        is_running "$name" || fail "$name ended before $what was there; $(last_lines "$name")"
        ((SECONDS < deadline)) || fail "waited in vain for $what: $answer; $(last_lines "$name")"
        sleep 0.05
    done
}

last_lines() {
    echo "the end of $DIR/logs/$1.log is:"
    tail -n 20 "$DIR/logs/$1.log"
}

# Has all of it ended (by `down`), and the folder removed, once that process has. It is a process of its own, for an owner may
# be killed.
launch_watch() {
    launch watch "$SELF" watch "$DIR" "$1" "$(started "$1")"
}

watch() {
    local folder="$1" owner="$2" since="$3"
    while [[ -n $since && "$(started "$owner")" == "$since" ]]; do
        sleep 0.5
    done
    rm "$folder/pids/watch"
    if [[ -e $folder/ports ]]; then
        open "$folder"
        down
    fi
    rm -rf "$folder"
}

fail() {
    echo "${SELF##*/}: $1" >&2
    exit 1
}
