#!/bin/sh
# What runs in the machine: first what systemd does with the engine, then things are made until the plug is pulled.
exec </dev/null >/dev/ttyS0 2>&1
PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fail() {
    echo "FAILED: $*"
    systemctl status --no-pager dhow.socket dhow.service
    journalctl --no-pager -n 40 -u dhow.service
    echo "DHOW-VM-EXIT 1"
    exit 1
}
word() { sed -n "s/.*dhow\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
pid() { dhow inspect -f '{{.State.Pid}} {{.State.Status}}' "$1"; }
# Tries a command again until it succeeds: `within MESSAGE COMMAND...`. Each try takes a while under emulation.
within() {
    message=$1 tries=0
    shift
    until "$@"; do
        tries=$((tries+1))
        [ $tries -lt 300 ] || fail "$message"
        sleep 0.1
    done
}
active() { [ "$(systemctl is-active dhow.service)" = active ]; }
whole() {
    # Images that are not made for this have no sums.
    [ "$(dhow run --rm "$1" sh -c '[ ! -e /data ] || { cd /data && sha256sum -c -s sums; } && echo whole')" = whole ] ||
        fail "the image $1 is not whole"
}

active || fail "the daemon was not started"
boot=$(word boot)
if [ "$boot" = 1 ]; then
    dhow load -q -i /t/busybox.tar || fail load
    dhow run -d --name web --log-driver journald busybox sh -c 'n=0; while :; do echo line $n; n=$((n+1)); sleep 1; done' || fail run
    before=$(pid web) daemon=$(systemctl show -P MainPID dhow.service)
    systemctl restart dhow.service || fail "restart"
    [ "$(systemctl show -P MainPID dhow.service)" != "$daemon" ] || fail "the daemon is the same"
    [ "$(pid web)" = "$before" ] || fail "after a restart: $(pid web), before: $before"
    case $before in *running) ;; *) fail "before: $before" ;; esac
    seen=$(dhow logs web | wc -l)
    grows() { [ "$(dhow logs web | wc -l)" -gt "$seen" ]; }
    within "the log stands still" grows
    echo "DONE restart"
    journal() { journalctl --no-pager -o cat CONTAINER_NAME=web | grep -qx 'line 0'; }
    within "the journal has no lines" journal
    echo "DONE journal"
    # Stopped, it is started by whoever asks.
    systemctl stop dhow.service || fail stop
    [ "$(pid web)" = "$before" ] || fail "after a stop: $(pid web)"
    within "the socket started nothing" active
    echo "DONE activation"
    systemctl reload dhow.service || fail reload
    reloaded() { dhow events --since 1 --until "$(($(date +%s) + 1))" --filter type=daemon | grep -q reload; }
    within "no reload was told" reloaded
    [ "$(pid web)" = "$before" ] || fail "after a reload: $(pid web)"
    echo "DONE reload"
    dhow kill web && dhow rm web || fail "take away"

    # The runtime by itself has systemd make a container's group, change its limits and take it away.
    mkdir -p /t/bundle/rootfs && dhow create --name root busybox >/dev/null || fail "a root filesystem"
    dhow export root | tar -x -C /t/bundle/rootfs && dhow rm root || fail "export"
    dhow runtime spec -b /t/bundle || fail spec
    words='"annotations": {"org.systemd.property.TimeoutStopSec": "3", "org.systemd.property.Description": "'"'of a test'"'"},'
    sed -i "1s/{/{$words/; s/\"terminal\": true/\"terminal\": false/; s/^ *\"sh\"\$/\"sleep\", \"1000\"/" /t/bundle/config.json
    dhow runtime --systemd-cgroup run -d -b /t/bundle box >/dev/null 2>/t/err || fail "a scope: $(cat /t/err)"
    scope=dhow-runtime-box.scope
    shown() { systemctl show -P "$1" $scope; }
    [ "$(shown ControlGroup)" = /system.slice/$scope ] || fail "its group: $(shown ControlGroup)"
    [ "$(shown Description)" = "of a test" ] && [ "$(shown TimeoutStopUSec)" = 3s ] || fail "its properties: $(shown Description) $(shown TimeoutStopUSec)"
    grep -qx "0::/system.slice/$scope" "/proc/$(dhow runtime state box | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')/cgroup" || fail "it is elsewhere"
    dhow runtime update --pids-limit 50 --memory 67108864 box || fail update
    [ "$(shown TasksMax)" = 50 ] && [ "$(shown MemoryMax)" = 67108864 ] || fail "limits: $(shown TasksMax) $(shown MemoryMax)"
    systemctl daemon-reload || fail daemon-reload
    [ "$(cat /sys/fs/cgroup/system.slice/$scope/pids.max)" = 50 ] || fail "a limit was set back"
    dhow runtime pause box && dhow runtime resume box || fail pause
    dhow runtime delete -f box || fail delete
    [ "$(shown LoadState)" = not-found ] && [ ! -e /sys/fs/cgroup/system.slice/$scope ] || fail "the scope is left"
    echo "DONE runtime"
fi

# All that was answered with success before the plug was pulled is there, and is whole.
for kept in $(word kept | tr , ' '); do
    n=0
    while [ $n -lt "${kept#*:}" ]; do
        name=b${kept%:*}n$n
        dhow volume inspect "$name" >/dev/null || fail "the volume $name is lost"
        # The last one of each boot was started below, in the boot after it.
        case "$(dhow inspect -f '{{.State.Status}}' "$name")" in created | exited) ;; *) fail "the container $name is lost" ;; esac
        n=$((n+1))
    done
    [ "$(dhow start -a "$name")" = whole ] || fail "the container $name does not run"
    [ "$(dhow run --rm -v "$name:/v" busybox sh -c 'echo x >/v/x; cat /v/x')" = x ] || fail "the volume $name is of no use"
done
# A container keeps its image, which had only just come.
if [ -n "$kept" ]; then
    name=i$(((${kept#*:}-1)%4))
    [ "$(dhow start -a "$name")" = whole ] || fail "the container $name of an image that had just come does not run"
    for image in 0 1 2 3; do
        [ -z "$(dhow ps -aq --filter "name=^i$image\$")" ] || dhow rm -f "i$image" >/dev/null || fail "rm i$image"
    done
fi
# An image is there whole or not at all, whatever was done to it when the plug was pulled, and can be loaded (again).
images=$(dhow images -aq --no-trunc) || fail "images"
for image in $images; do whole "$image"; done
echo "DHOW-VM-IMAGES $(echo "$images" | wc -l)"
for archive in /t/cut*.tar; do
    dhow load -q -i "$archive" >/dev/null || fail "load $archive"
done
for image in 0 1 2 3; do whole "cut:$image"; done
echo "DHOW-VM-CHECKED $boot"
[ "$(word last)" = yes ] && { echo "DHOW-VM-EXIT 0"; exit 0; }
n=0
while :; do
    dhow volume create "b${boot}n$n" >/dev/null || fail "volume create"
    dhow create --name "b${boot}n$n" busybox echo whole >/dev/null || fail create
    image=$((n%4))
    [ $n -lt 4 ] || dhow rm "i$image" >/dev/null || fail rm
    dhow rmi "cut:$image" >/dev/null || fail rmi
    dhow load -q -i "/t/cut$image.tar" >/dev/null || fail load
    dhow create --name "i$image" "cut:$image" sh -c 'cd /data && sha256sum -c -s sums && echo whole' >/dev/null || fail "create of cut:$image"
    echo "MADE $n"
    n=$((n+1))
done
