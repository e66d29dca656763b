#!/bin/sh
# Stands for the process that drives Ray: tells on the descriptor what it is asked, and changes as told.
# Started as: driver.sh -m afterfit.serve.ray --config FILE --ready-fd N
config=$4
fd=$6
say() { printf '%s\n' "$1" >"/proc/$$/fd/$fd"; }
cp "$config" "$AFTERFIT_TEST_FOLDER/settings.json"
env >"$AFTERFIT_TEST_FOLDER/environment"
if [ "$AFTERFIT_TEST_MODE" = failed ]; then
    say '{"event":"failed","kind":"resource","message":"too few processors","fix":"add nodes"}'
    exit 2
fi
[ "$AFTERFIT_TEST_MODE" = silent ] && exit 3
# It leaves a process behind, which has to be found by its mark.
sleep 600 </dev/null >/dev/null 2>&1 &
echo $! >"$AFTERFIT_TEST_FOLDER/left"
say '{"event":"ready","url":"http://127.0.0.1:1","address":"10.0.0.1:6379","nodes":1,"fast":false,"pid":1}'
while read -r line; do
    digest=${line#*\"digest\":\"}
    digest=${digest%%\"*}
    case $line in
    *'"version":9'*) say "{\"event\":\"failed\",\"digest\":\"$digest\",\"kind\":\"model\",\"message\":\"no\"}" ;;
    *) say "{\"event\":\"changed\",\"digest\":\"$digest\"}" ;;
    esac
done
exit 0
