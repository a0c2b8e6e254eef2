# The guardian of one cluster; guardian.rs says what it is for. Started as `sh -c … guardian BIN BASE`.
#
# It makes a folder in BASE and prints its path. Then it carries out one order a line and answers each with the exit
# status. At the end of its input it stops the server and removes the folder.

# Only the end of the input ends it, whatever happens to the terminal or to the reader of its answers.
trap '' HUP INT TERM PIPE

bin=$1
folder=$(mktemp -d "$2/kapsel-postgres-XXXXXX") || exit 1
data=$folder/data
log=$folder/postgresql.log
echo "$folder"

# No program may have our input, which it could eat, or our output, which the server would hold open.
run() {
    program=$1
    shift
    "$bin/$program" "$@" </dev/null >>"$log" 2>&1
}

# Seconds. A start after a crash syncs every file, and the disk may be busy with other tests.
patience=300

while read -r order argument; do
    case $order in
    initdb)
        # Nothing is lost if the machine dies now; the server itself does sync.
        run initdb --pgdata="$data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync
        ;;
    start) run pg_ctl start -w --timeout=$patience --pgdata="$data" --log="$log" --options="-p $argument" ;;
    stop) run pg_ctl stop -w --timeout=$patience --pgdata="$data" --mode="$argument" ;;
    status) run pg_ctl status --pgdata="$data" ;;
    *) false ;;
    esac
    echo $?
done

if [ -e "$data/postmaster.pid" ]; then
    run pg_ctl stop -w --timeout=$patience --pgdata="$data" --mode=immediate
fi
rm -rf "$folder"
